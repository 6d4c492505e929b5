"""`flow_data` of a portal session: what each flow needs, checked against configuration and subscription."""

from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import lifecycle
from colonnade_sandbox.resources.billing_portal_rules import check_url
from colonnade_sandbox.store import Object

LONGEST_MESSAGE = 500
# The configuration feature that a flow needs, and what cannot be done while it is off.
FLOWS = {
    "payment_method_update": ("payment_method_update", "The payment method cannot be updated"),
    "customer_update": ("customer_update", "The customer cannot be updated"),
    "subscription_cancel": ("subscription_cancel", "This subscription cannot be canceled"),
    "subscription_pause": ("subscription_pause", "This subscription cannot be paused"),
    "subscription_update": ("subscription_update", "This subscription cannot be updated"),
    "subscription_update_confirm": ("subscription_update", "This subscription cannot be updated"),
}
# The subscriptions that each flow can work on; all others take any that has not ended.
STATUSES = {
    "subscription_pause": ("active",),
    "subscription_update": ("active", "trialing", "past_due"),
    "subscription_update_confirm": ("active", "trialing", "past_due"),
}


def checked(call: Call, customer: Object, configuration: Object) -> dict[str, Any]:
    """The session's flow.

    Raises StripeError (400) naming what the flow lacks or cannot do.
    """
    data = call.params["flow_data"]
    kind = data["type"]
    feature, refusal = FLOWS[kind]
    if not configuration["features"][feature]["enabled"]:
        named = feature.replace("_", " ")
        text = f"{refusal} because the {named} feature in the portal configuration is disabled."
        raise errors.invalid(text, "flow_data[type]")
    for name in FLOWS:
        if name in data and name != kind:
            text = f"flow_data[{name}] can only be given with the flow type {name}."
            raise errors.invalid(text, f"flow_data[{name}]")
    flow: dict[str, Any] = {"type": kind, "after_completion": _after(data.get("after_completion", {}))}
    if kind.startswith("subscription"):
        if kind not in data:
            raise errors.missing_parameter(f"flow_data[{kind}]")
        flow[kind] = _about(call, customer, configuration, kind, data[kind])
    return flow


def _after(given: dict[str, Any]) -> dict[str, Any]:
    base = "flow_data[after_completion]"
    kind = given.get("type", "portal_homepage")
    if kind == "redirect":
        if "redirect" not in given:
            raise errors.missing_parameter(f"{base}[redirect]")
        check_url(given["redirect"]["return_url"], f"{base}[redirect][return_url]")
    for name in ("redirect", "hosted_confirmation"):
        if name in given and name != kind:
            raise errors.invalid(f"{base}[{name}] can only be given with the type {name}.", f"{base}[{name}]")
    message = (given.get("hosted_confirmation") or {}).get("custom_message") or ""
    if len(message) > LONGEST_MESSAGE:
        text = f"Invalid string: {message[:20]}...; must be at most {LONGEST_MESSAGE} characters"
        raise errors.invalid(text, f"{base}[hosted_confirmation][custom_message]")
    return {"type": kind, "redirect": given.get("redirect"), "hosted_confirmation": given.get("hosted_confirmation")}


def _about(call: Call, customer: Object, configuration: Object, kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """The flow's subscription, which must be the customer's and able to take the action."""
    param = f"flow_data[{kind}][subscription]"
    subscription = call.get("subscription", given["subscription"], param)
    wanted = call.params.get("on_behalf_of")
    if subscription["customer"] != customer["id"] or (wanted and subscription["on_behalf_of"] != wanted):
        raise errors.no_such("subscription", subscription["id"], param)
    if (problem := _problem(kind, subscription)) is not None:
        raise errors.invalid(problem, param)
    if kind == "subscription_update_confirm":
        return _confirm(call, configuration, subscription, given)
    if kind == "subscription_cancel":
        return {"subscription": subscription["id"], "retention": _retention(call, given.get("retention"))}
    return {"subscription": subscription["id"]}


def _problem(kind: str, subscription: Object) -> str | None:
    """Why the flow cannot work on the subscription as it is."""
    status = subscription["status"]
    verb = {"subscription_pause": "paused", "subscription_cancel": "canceled"}.get(kind, "updated")
    if status in lifecycle.ENDED:
        return "This subscription has ended and cannot be changed."
    if status not in STATUSES.get(kind, (status,)):
        return f"This subscription cannot be {verb} while its status is {status}."
    if kind == "subscription_cancel" and subscription["cancel_at"] is not None:
        return "This subscription is already set to be canceled."
    if kind != "subscription_cancel" and subscription["cancel_at"] is not None:
        return f"This subscription cannot be {verb} because it is set to be canceled."
    if kind != "subscription_cancel" and subscription["schedule"] is not None:
        return f"This subscription cannot be {verb} because it has a subscription schedule with future phases."
    if verb == "updated" and len(subscription["items"]["data"]) > 1:
        return "Subscriptions with several items cannot be updated in the portal."
    return None


def _retention(call: Call, given: dict[str, Any] | None) -> dict[str, Any] | None:
    if given is None:
        return None
    param = "flow_data[subscription_cancel][retention][coupon_offer][coupon]"
    coupon = call.get("coupon", given["coupon_offer"]["coupon"], param)
    if not coupon["valid"]:
        raise errors.invalid(f"Coupon expired: {coupon['id']}", param, "coupon_expired")
    return {"type": "coupon_offer", "coupon_offer": {"coupon": coupon["id"]}}


def _confirm(call: Call, configuration: Object, subscription: Object, given: dict[str, Any]) -> dict[str, Any]:
    base = "flow_data[subscription_update_confirm]"
    if len(given["items"]) != 1:
        raise errors.invalid("Exactly one item must be given.", f"{base}[items]")
    wish, item = given["items"][0], subscription["items"]["data"][0]
    if wish["id"] != item["id"]:
        raise errors.no_such("subscription_item", wish["id"], f"{base}[items][0][id]")
    discounts = _discounts(call, given.get("discounts") or [], f"{base}[discounts]")
    price = wish.get("price", item["price"]["id"])
    same = price == item["price"]["id"] and wish.get("quantity", item.get("quantity")) == item.get("quantity")
    if same and not discounts:
        text = "This flow cannot update the subscription because there are no changes to confirm."
        raise errors.invalid(text, f"{base}[items]")
    call.get("price", price, f"{base}[items][0][price]")
    _check_listed(configuration, price, wish, f"{base}[items][0]")
    confirmed = {"id": item["id"], "price": price}
    if "quantity" in wish or "quantity" in item:
        confirmed["quantity"] = wish.get("quantity", item.get("quantity"))
    return {"subscription": subscription["id"], "items": [confirmed], "discounts": discounts or None}


def _check_listed(configuration: Object, price: str, wish: dict[str, Any], base: str) -> None:
    """The price must be among the configuration's; a quantity is the caller's own choice, of one or more."""
    products = configuration["features"]["subscription_update"]["products"]
    if not any(price in product["prices"] for product in products):
        text = f"The price {price} is not among the products of the portal configuration."
        raise errors.invalid(text, f"{base}[price]")
    if wish.get("quantity", 1) < 1:
        raise errors.invalid("The quantity must be one or more.", f"{base}[quantity]")


def _discounts(call: Call, given: list[dict[str, Any]], param: str) -> list[dict[str, Any]]:
    """At most one, a coupon or a promotion code."""
    if len(given) > 1:
        raise errors.invalid("You may only specify one discount.", param)
    for wish in given:
        named = [name for name in ("coupon", "promotion_code") if wish.get(name)]
        if len(named) != 1:
            raise errors.invalid("Give either a coupon or a promotion code.", f"{param}[0]")
        call.get(named[0], wish[named[0]], f"{param}[0][{named[0]}]")
    return [{"coupon": wish.get("coupon"), "promotion_code": wish.get("promotion_code")} for wish in given]

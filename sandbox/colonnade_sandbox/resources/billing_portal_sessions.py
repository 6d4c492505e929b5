"""Portal sessions: short-lived secret URLs of the hosted portal for one customer."""

from typing import Any

from colonnade_sandbox import errors, ids
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import accounts, lifecycle
from colonnade_sandbox.resources import billing_portal_configurations as configurations
from colonnade_sandbox.store import NOWHERE, Object

KIND = "billing_portal.session"
TOKEN_KIND = "_portal_session"
# Widely reported, not in the API reference: unused for five minutes, or idle for an hour, and it is over.
UNUSED_FOR = 300
IDLE_FOR = 3600

# The configuration feature that a flow needs, and what cannot be done while it is off.
FLOWS = {
    "payment_method_update": ("payment_method_update", "The payment method cannot be updated"),
    "customer_update": ("customer_update", "The customer cannot be updated"),
    "subscription_cancel": ("subscription_cancel", "This subscription cannot be canceled"),
    "subscription_pause": ("subscription_pause", "This subscription cannot be paused"),
    "subscription_update": ("subscription_update", "This subscription cannot be updated"),
    "subscription_update_confirm": ("subscription_update", "This subscription cannot be updated"),
}


@operation(
    "POST",
    "/v1/billing_portal/sessions",
    takes="after_expiration configuration customer flow_data locale on_behalf_of return_url",
)
def create(call: Call) -> Object:
    params = call.params
    if "customer" not in params:
        raise errors.missing_parameter("customer")
    customer = call.get("customer", params["customer"], "customer")
    configuration = _configuration(call)
    account = params.get("on_behalf_of")
    if account and (call.account != call.platform or call.platform not in call.sandbox.platforms_of(account)):
        raise errors.no_such("account", account, "on_behalf_of")
    return_url = params.get("return_url") or configuration["default_return_url"]
    flow = _flow(call, customer, configuration) if "flow_data" in params else None
    token = f"test_{ids.token(48)}"
    values = {
        "configuration": configuration["id"],
        "customer": customer["id"],
        "customer_account": None,
        "flow": flow,
        "locale": params.get("locale"),
        "on_behalf_of": params.get("on_behalf_of"),
        "return_url": return_url,
        "url": f"{call.sandbox.base_url}/p/session/{token}",
        "_token": token,
    }
    if "after_expiration" in params:
        values["after_expiration"] = params["after_expiration"]
    session = call.add(KIND, "bps", values)
    kept = {
        "id": token,
        "session": session["id"],
        "account": call.account,
        "platform": call.platform,
        "created": call.now,
        "seen": None,
    }
    accounts.remember(call, TOKEN_KIND, token, kept)
    return session


def open_session(call: Call, token: str) -> Object | None:
    """The session behind a token, its idle time starting anew; None where it is unknown or over.

    `call` needs only its sandbox. The answer has the token's `account` and `platform` beside the session's
    fields, as `_account` and `_platform`.
    """
    kept = call.sandbox.store.find(NOWHERE, TOKEN_KIND, token)
    if kept is None:
        return None
    last = kept["seen"] if kept["seen"] is not None else kept["created"]
    allowed = UNUSED_FOR if kept["seen"] is None else IDLE_FOR
    session = call.sandbox.store.find(kept["account"], KIND, kept["session"])
    if session is None or call.now > last + allowed:
        return None
    accounts.remember(call, TOKEN_KIND, token, kept | {"seen": call.now})
    return session | {"_account": kept["account"], "_platform": kept["platform"]}


def _configuration(call: Call) -> Object:
    if (name := call.params.get("configuration")) is None:
        found = configurations.default(call)
        if found is None:
            text = (
                "No configuration provided and your test mode default configuration has not been created. Provide a "
                "configuration or create your default by saving your customer portal settings in test mode."
            )
            raise errors.invalid(text)
        return found
    found = call.get(configurations.KIND, name, "configuration")
    if not found["active"]:
        raise errors.invalid(f"The configuration {name} is not active.", "configuration")
    return found


def _flow(call: Call, customer: Object, configuration: Object) -> dict[str, Any]:
    data = call.params["flow_data"]
    kind = data["type"]
    feature, refusal = FLOWS[kind]
    if not configuration["features"][feature]["enabled"]:
        named = feature.replace("_", " ")
        text = f"{refusal} because the {named} feature in the portal configuration is disabled."
        raise errors.invalid(text, "flow_data[type]")
    flow: dict[str, Any] = {"type": kind, "after_completion": _after(data.get("after_completion", {}))}
    if kind.startswith("subscription"):
        if kind not in data:
            raise errors.missing_parameter(f"flow_data[{kind}]")
        flow[kind] = _about(call, customer, configuration, kind, data[kind])
    return flow


def _after(given: dict[str, Any]) -> dict[str, Any]:
    kind = given.get("type", "portal_homepage")
    if kind == "redirect" and "redirect" not in given:
        raise errors.missing_parameter("flow_data[after_completion][redirect]")
    return {"type": kind, "redirect": given.get("redirect"), "hosted_confirmation": given.get("hosted_confirmation")}


def _about(call: Call, customer: Object, configuration: Object, kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """The flow's subscription, which must be the customer's and able to take the action."""
    param = f"flow_data[{kind}][subscription]"
    subscription = call.get("subscription", given["subscription"], param)
    wanted = call.params.get("on_behalf_of")
    if subscription["customer"] != customer["id"] or (wanted and subscription["on_behalf_of"] != wanted):
        raise errors.no_such("subscription", subscription["id"], param)
    if subscription["status"] in lifecycle.ENDED:
        raise errors.invalid("This subscription has ended and cannot be changed.", param)
    if kind == "subscription_cancel" and subscription["cancel_at"] is not None:
        raise errors.invalid("This subscription is already set to be canceled.", param)
    if kind == "subscription_update_confirm":
        return _confirm(call, configuration, subscription, given)
    if kind == "subscription_cancel":
        return {"subscription": subscription["id"], "retention": given.get("retention")}
    return {"subscription": subscription["id"]}


def _confirm(call: Call, configuration: Object, subscription: Object, given: dict[str, Any]) -> dict[str, Any]:
    base = "flow_data[subscription_update_confirm]"
    items = subscription["items"]["data"]
    if len(items) > 1 or len(given["items"]) != 1:
        text = "Subscriptions with several items cannot be updated in the portal."
        raise errors.invalid(text, f"{base}[items]")
    wish, item = given["items"][0], items[0]
    if wish["id"] != item["id"]:
        raise errors.no_such("subscription_item", wish["id"], f"{base}[items][0][id]")
    price = wish.get("price", item["price"]["id"])
    if price == item["price"]["id"] and wish.get("quantity", item.get("quantity")) == item.get("quantity"):
        text = "This flow cannot update the subscription because there are no changes to confirm."
        raise errors.invalid(text, f"{base}[items]")
    offered = {
        name for product in configuration["features"]["subscription_update"]["products"] for name in product["prices"]
    }
    call.get("price", price, f"{base}[items][0][price]")
    if price not in offered:
        text = f"The price {price} is not among the products of the portal configuration."
        raise errors.invalid(text, f"{base}[items][0][price]")
    confirmed = {"id": item["id"], "price": price}
    if "quantity" in wish or "quantity" in item:
        confirmed["quantity"] = wish.get("quantity", item.get("quantity"))
    return {"subscription": subscription["id"], "items": [confirmed], "discounts": given.get("discounts")}

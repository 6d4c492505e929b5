"""The items of a subscription: made from `items[…]` parameters, with their own periods."""

from typing import Any

from colonnade_sandbox import errors, ids, periods
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.resources import price_amounts, prices
from colonnade_sandbox.store import Object

MOST_ITEMS = 20


def price_of(call: Call, given: dict[str, Any], param: str) -> Object:
    """The active, recurring price that an item names.

    Raises StripeError (400) naming the item's parameter.
    """
    if "price_data" in given:
        price = prices.inline(call, given["price_data"], f"{param}[price_data]")
    elif (name := given.get("price") or given.get("plan")) is not None:
        price = call.get("price", name, f"{param}[price]")
        if not price["active"]:
            text = "The price specified is inactive. This field only accepts active prices."
            raise errors.invalid(text, f"{param}[price]")
    else:
        raise errors.missing_parameter(f"{param}[price]")
    if price["recurring"] is None:
        text = "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`."
        raise errors.invalid(text, f"{param}[price]")
    return price


def item(call: Call, subscription: str, price: Object, given: dict[str, Any], start: int, end: int | None) -> Object:
    """A new item; its first period ends at `end`, or after one interval of its price."""
    values = {
        "id": ids.new("si"),
        "object": "subscription_item",
        "created": call.now,
        "current_period_start": start,
        "current_period_end": end if end is not None else periods.step(start, price["recurring"], 1),
        "metadata": merged_metadata({}, given.get("metadata")),
        "plan": prices.plan(price),
        "price": price,
        "subscription": subscription,
    }
    if price["recurring"]["usage_type"] == "licensed":
        values["quantity"] = given.get("quantity", 1)
    return shapes.complete("subscription_item", values)


def edited(call: Call, subscription: Object, given: list[dict[str, Any]]) -> list[Object]:
    """The items after an update: named ones changed or deleted, the others added.

    Raises StripeError (400) for an item of another subscription, or if none would be left.
    """
    data = {old["id"]: old for old in subscription["items"]["data"]}
    for index, wish in enumerate(given):
        param = f"items[{index}]"
        if "id" not in wish:
            added = _added(call, subscription, wish, param)
            data[added["id"]] = added
        elif wish["id"] not in data:
            raise errors.no_such("subscription_item", wish["id"], f"{param}[id]")
        elif wish.get("deleted"):
            del data[wish["id"]]
        else:
            data[wish["id"]] = _changed(call, subscription, data[wish["id"]], wish, param)
    if not data:
        text = "A subscription must have at least one active plan. To cancel a subscription, use the cancel endpoint."
        raise errors.invalid(text, "items")
    return check(list(data.values()), subscription["currency"])


def _added(call: Call, subscription: Object, wish: dict[str, Any], param: str) -> Object:
    price = price_of(call, wish, param)
    if any(old["price"]["id"] == price["id"] for old in subscription["items"]["data"]):
        text = f"Cannot add multiple subscription items with the same plan: {price['id']}"
        raise errors.invalid(text, f"{param}[price]")
    end = subscription["trial_end"] if subscription["status"] == "trialing" else None
    if end is None and subscription["status"] != "incomplete":
        end = periods.after(subscription["billing_cycle_anchor"], price["recurring"], call.now)
    return item(call, subscription["id"], price, wish, call.now, end)


def _changed(call: Call, subscription: Object, old: Object, wish: dict[str, Any], param: str) -> Object:
    new = old | {"metadata": merged_metadata(old["metadata"], wish.get("metadata"))}
    if "quantity" in wish:
        new["quantity"] = wish["quantity"]
    if not {"price", "plan", "price_data"} & set(wish):
        return new
    price = price_of(call, wish, param)
    new |= {"price": price, "plan": prices.plan(price)}
    before, after = old["price"]["recurring"], price["recurring"]
    same = all(before[name] == after[name] for name in ("interval", "interval_count"))
    if not same and subscription["status"] != "trialing":
        # Another interval starts a new period at once (Stripe docs, "Prorations").
        new |= {"current_period_start": call.now, "current_period_end": periods.step(call.now, after, 1)}
    return new


def check(items: list[Object], currency: str) -> list[Object]:
    """Raises StripeError (400) for mixed currencies or too many items."""
    if len(items) > MOST_ITEMS:
        raise errors.invalid(f"A subscription may have at most {MOST_ITEMS} items.", "items")
    if any(price_amounts.in_currency(each["price"], currency) is None for each in items):
        raise errors.invalid("All prices of a subscription must have the same currency.", "items")
    return items


def page(subscription: str, items: list[Object]) -> Object:
    return shapes.page(items, f"/v1/subscription_items?subscription={subscription}")


def currency(call: Call, customer: Object, items: list[Object]) -> str:
    """The one that is asked for, or the customer's where all prices have it, or the first price's own."""
    asked: str | None = call.params.get("currency")
    if asked is not None:
        return asked.lower()
    usual: str | None = customer["currency"]
    known = usual is not None and all(price_amounts.in_currency(each["price"], usual) for each in items)
    return str(usual if known else items[0]["price"]["currency"])

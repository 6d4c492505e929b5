"""Prorations, by the second: what is left of the old items' periods is credited, the new ones' is charged."""

from collections.abc import Iterable, Iterator
from typing import Any

from colonnade_sandbox import periods
from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import invoice_items, invoice_lines
from colonnade_sandbox.store import Object


def add(call: Call, subscription: Object, items: list[Object], at: int) -> list[Object]:
    """Pending invoice items for replacing the subscription's items by `items` at the second `at`."""
    if subscription["status"] in ("trialing", "incomplete"):
        return []
    customer = call.get("customer", subscription["customer"], "customer")
    made = []
    for item, amount in _parts(subscription, items, at):
        if amount == 0:
            continue
        made.append(invoice_items.add(call, customer, _values(subscription, item, amount, at)))
    return made


def credit(call: Call, subscription: Object, at: int) -> list[Object]:
    """Credit what is left of every item's period."""
    return add(call, subscription, [], at)


def _parts(subscription: Object, new: Iterable[Object], at: int) -> Iterator[tuple[Object, int]]:
    """Each item that changes with its amount: negative for unused time, positive for remaining time."""
    before = {item["id"]: item for item in subscription["items"]["data"]}
    after, currency = {item["id"]: item for item in new}, subscription["currency"]
    for key, item in before.items():
        following = after.get(key)
        if following is None or _cost(following) != _cost(item):
            yield item, -_share(item, currency, at)
            if following is not None and following["current_period_end"] == item["current_period_end"]:
                yield following, _share(following, currency, at)
    for key, item in after.items():
        if key not in before:
            yield item, _share(item, currency, at)


def _cost(item: Object) -> tuple[Any, ...]:
    return item["price"]["id"], item.get("quantity"), item["current_period_end"]


def _share(item: Object, currency: str, at: int) -> int:
    """What the time from `at` to the end of the item's period costs, rounded half up."""
    end = item["current_period_end"]
    start = min(item["current_period_start"], periods.step(end, item["price"]["recurring"], -1))
    whole, left = end - start, max(0, min(end - at, end - start))
    return int(2 * invoice_lines.amount_of(item, currency) * left + whole) // int(2 * whole)


def _values(subscription: Object, item: Object, amount: int, at: int) -> dict[str, Any]:
    what = "Unused time" if amount < 0 else "Remaining time"
    details = {"subscription": subscription["id"], "subscription_item": item["id"]}
    return {
        "amount": amount,
        "currency": subscription["currency"],
        "description": f"{what} on {item.get('quantity', 1)} × {item['price']['nickname'] or item['price']['id']}",
        "parent": {"type": "subscription_details", "subscription_details": details},
        "period": {"start": at, "end": item["current_period_end"]},
        "pricing": invoice_lines.pricing(item["price"], subscription["currency"]),
        "proration": True,
        "quantity": item.get("quantity", 1),
    }

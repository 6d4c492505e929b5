"""Subscription items by themselves; the work is the subscription's."""

from typing import Any

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import subscriptions
from colonnade_sandbox.store import Object

TAKEN = "metadata payment_behavior price price_data proration_behavior proration_date quantity"
PASSED = ("payment_behavior", "proration_behavior", "proration_date")
ITEM = {"metadata", "price", "price_data", "quantity"}


def _owner(call: Call) -> tuple[Object, Object]:
    """The subscription of the item in the path, and the item."""
    for subscription in call.all("subscription"):
        for item in subscription["items"]["data"]:
            if item["id"] == call.id:
                return subscription, item
    raise errors.no_such("subscription_item", call.id)


def _edit(call: Call, subscription: str, wish: dict[str, Any]) -> Object:
    passed = {name: call.params[name] for name in PASSED if name in call.params}
    return subscriptions.update(call.to(items=[wish], **passed).at(subscription))


@operation("GET", "/v1/subscription_items", takes=f"{lists.PAGING} subscription")
def list_all(call: Call) -> Object:
    subscription = call.get("subscription", call.params["subscription"], "subscription")
    rows = subscription["items"]["data"]
    return lists.answer(call, "subscription_item", rows, {}, "/v1/subscription_items")


@operation("GET", "/v1/subscription_items/{item}")
def retrieve(call: Call) -> Object:
    return _owner(call)[1]


@operation("POST", "/v1/subscription_items", takes=f"{TAKEN} subscription")
def create(call: Call) -> Object:
    wish = {name: value for name, value in call.params.items() if name in ITEM}
    subscription = call.get("subscription", call.params["subscription"], "subscription")
    known = {item["id"] for item in subscription["items"]["data"]}
    changed = _edit(call, subscription["id"], wish)
    return next(item for item in changed["items"]["data"] if item["id"] not in known)


@operation("POST", "/v1/subscription_items/{item}", takes=TAKEN)
def update(call: Call) -> Object:
    subscription, item = _owner(call)
    wish = {name: value for name, value in call.params.items() if name in ITEM} | {"id": item["id"]}
    changed = _edit(call, subscription["id"], wish)
    return next(each for each in changed["items"]["data"] if each["id"] == item["id"])


@operation("DELETE", "/v1/subscription_items/{item}", takes="clear_usage payment_behavior proration_behavior")
def delete(call: Call) -> Object:
    subscription, item = _owner(call)
    _edit(call, subscription["id"], {"id": item["id"], "deleted": True})
    return {"id": item["id"], "object": "subscription_item", "deleted": True}

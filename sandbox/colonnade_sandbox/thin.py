"""Thin events of V1 resources: views of their snapshot event, made when they are asked for.

Every snapshot event that the SDK knows as `v1.<type>` has a twin; a change of a subscription, a price, a
product or an entitlement has finer ones besides (Stripe changelog, 2026-09-30.endive and 2026-10-28.endive).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from colonnade_sandbox.contract import source
from colonnade_sandbox.store import Object, Store

KIND = "v2.core.event"
PREFIX = "evt_test_"
# Parts of the full event that its notification leaves out.
FETCHED = ("changes", "snapshot_event")

# Where an object is read, other than by its kind in the plural.
URLS = {
    "tax_id": "/v1/customers/{customer}/tax_ids/{id}",
    "capability": "/v1/accounts/{account}/capabilities/{id}",
}
# Statuses of a subscription with an event of their own; `paused` comes by its snapshot event.
STATUSES = {"active", "trialing", "past_due", "unpaid", "incomplete", "incomplete_expired"}
# Changed field of an updated object to the thin event that tells it.
FIELDS = {
    "customer.subscription.updated": {
        "cancel_at": "cancel_at_changed",
        "default_payment_method": "default_payment_method_changed",
    },
    "price.updated": {"lookup_key": "lookup_key_changed", "tax_behavior": "tax_behavior_changed"},
    "product.updated": {"default_price": "default_price_changed", "tax_code": "tax_code_changed"},
}

Change = tuple[str, dict[str, Any] | None]


def twins(event: Object) -> list[Object]:
    """The full thin events of a snapshot event; none for a type that has no twin."""
    found = [change for change in _changes(event) if exists(change[0])]
    return [_thin(event, place, type_, changes) for place, (type_, changes) in enumerate(found)]


def notification(event: Object) -> Object:
    """What is delivered: who has the event fetched gets the rest."""
    return {name: value for name, value in event.items() if name not in FETCHED}


def find(store: Store, account: str, key: str) -> Object | None:
    """A thin event by id: one of its own, or a twin of the snapshot event that the id ends in."""
    if (own := store.find(account, KIND, key)) is not None:
        return own
    snapshot = store.find(account, "event", "evt_" + key.removeprefix(PREFIX)[:-2])
    return next((twin for twin in twins(snapshot) if twin["id"] == key), None) if snapshot is not None else None


@cache
def exists(type: str) -> bool:  # noqa: A002
    return _module(type) is not None


@cache
def _module(type: str) -> str | None:  # noqa: A002
    path = source.package() / "events" / f"_{type.replace('.', '_')}_event.py"
    return path.read_text("utf-8") if path.exists() else None


def _thin(event: Object, place: int, type: str, changes: dict[str, Any] | None) -> Object:  # noqa: A002
    request = event["request"] or {}
    reason = {"id": request.get("id"), "idempotency_key": request.get("idempotency_key") or ""}
    found: Object = {
        "id": f"{PREFIX}{event['id'].removeprefix('evt_')}{place:02}",
        "object": KIND,
        "type": type,
        "created": moment(event["created"]),
        "livemode": False,
        "context": event.get("account"),
        "reason": {"type": "request", "request": reason} if reason["id"] else None,
        "changes": changes,
        "snapshot_event": event["id"],
    }
    value = event["data"]["object"]
    if "related_object" in (_module(type) or "") and "id" in value:
        found["related_object"] = {"id": value["id"], "type": value["object"], "url": _url(value)}
    return found


def moment(seconds: int) -> str:
    """A time as the V2 API writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _url(value: Object) -> str:
    template = URLS.get(value["object"])
    if template is not None:
        return template.format(**{name: part for name, part in value.items() if isinstance(part, str)})
    return f"/v1/{value['object'].replace('.', '/')}s/{value['id']}"


def _changes(event: Object) -> Iterator[Change]:
    type_, value = event["type"], event["data"]["object"]
    previous = event["data"].get("previous_attributes")
    if previous is None:
        yield f"v1.{type_}", None
        return
    yield f"v1.{type_}", _both(value, previous, previous)
    group = f"v1.{type_.rpartition('.')[0]}"
    if type_ == "customer.subscription.updated":
        if previous.get("status") is not None and value["status"] in STATUSES:
            yield f"{group}.{value['status']}", _both(value, previous, ["status"])
        yield from _items(group, previous, value)
    elif type_ in ("price.updated", "product.updated") and "active" in previous:
        yield f"{group}.{'activated' if value['active'] else 'deactivated'}", None
    elif type_ == "entitlements.active_entitlement_summary.updated":
        yield from _entitlements(group, previous, value)
    for field, name in FIELDS.get(type_, {}).items():
        if field in previous:
            yield f"{group}.{name}", _both(value, previous, [field])


def _both(value: Object, previous: dict[str, Any], names: Any) -> dict[str, Any]:
    return {
        "before": {name: previous[name] for name in names},
        "after": {name: value.get(name) for name in names},
    }


def _items(group: str, previous: dict[str, Any], value: Object) -> Iterator[Change]:
    """One event for each item of a subscription that came, went or changed."""
    if "data" not in previous.get("items", {}):
        return
    old = {item["id"]: item for item in previous["items"]["data"]}
    new = {item["id"]: item for item in value["items"]["data"]}
    for key in sorted(new.keys() - old.keys()):
        yield f"{group}.item_added", {"before": {}, "after": {"item": key}}
    for key in sorted(old.keys() - new.keys()):
        yield f"{group}.item_removed", {"before": {"item": key}, "after": {}}
    for key in sorted(old.keys() & new.keys()):
        before, after = old[key], new[key]
        if before["price"]["id"] != after["price"]["id"]:
            both = ({"item": key, "price": item["price"]["id"]} for item in (before, after))
            yield f"{group}.item_price_changed", dict(zip(("before", "after"), both, strict=True))
        if before.get("quantity") != after.get("quantity"):
            both = ({"item": key, "quantity": item.get("quantity")} for item in (before, after))
            yield f"{group}.item_quantity_changed", dict(zip(("before", "after"), both, strict=True))


def _entitlements(group: str, previous: dict[str, Any], value: Object) -> Iterator[Change]:
    old = {row["id"] for row in previous.get("entitlements", {}).get("data", ())}
    new = {row["id"] for row in value["entitlements"]["data"]}
    yield from ((f"{group}.entitlement_added", {"before": {}, "after": {"id": key}}) for key in sorted(new - old))
    yield from ((f"{group}.entitlement_removed", {"before": {"id": key}, "after": {}}) for key in sorted(old - new))

"""Subscriptions and events in the shape that Stripe sends them (API version 2026-10-28.endive)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from colonnade_tenants.events import Event

START = 1_790_000_000  # 2026-09-21
MONTH = 30 * 86_400
PERIOD_END = START + MONTH


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def item(name: str = "1", price: str = "price_basic", quantity: int | None = 1, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": f"si_{name}",
        "object": "subscription_item",
        "created": START,
        "current_period_start": START,
        "current_period_end": PERIOD_END,
        "metadata": {},
        "price": {"id": price, "object": "price", "product": price.replace("price", "prod"), "unit_amount": 900},
        "subscription": "sub_1",
    }
    return found | ({} if quantity is None else {"quantity": quantity}) | changes


def item_list(*items: dict[str, Any], has_more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "has_more": has_more, "url": "/v1/subscription_items"}


def subscription(status: str = "active", *items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": "sub_1",
        "object": "subscription",
        "application": None,
        "billing_mode": {"type": "flexible"},
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "created": START,
        "customer": "cus_1",
        "ended_at": None,
        "items": item_list(*(items or (item(),))),
        "latest_invoice": "in_1",
        "livemode": False,
        "metadata": {},
        "on_behalf_of": "acct_1",
        "schedule": None,
        "start_date": START,
        "status": status,
        "transfer_data": {"amount_percent": None, "destination": "acct_1"},
        "trial_end": None,
    } | changes


def event(
    kind: str, created: int, body: Mapping[str, Any], previous: dict[str, Any] | None = None, name: str | None = None
) -> Event:
    """*kind* is the last word of the type; *previous* the previous attributes, which `updated` alone has."""
    return Event(
        id=f"evt_{name or f'{kind}_{created}'}",
        type=f"customer.subscription.{kind}",
        created=moment(created),
        account=None,
        object=msgspec.Raw(msgspec.json.encode(body)),
        previous_attributes=previous if previous is not None or kind != "updated" else {},
    )


def changed(created: int, old: Mapping[str, Any], new: Mapping[str, Any], name: str | None = None) -> Event:
    """The `updated` event of a subscription that was *old* and is *new*."""
    previous = {key: value for key, value in old.items() if new[key] != value}
    return event("updated", created, new, previous, name)

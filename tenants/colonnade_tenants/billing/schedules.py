"""Subscription schedules: what a subscription is going to change to. Only its items say what it is now."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from colonnade_tenants import customers
from colonnade_tenants.ahead import reads
from colonnade_tenants.billing.mirror import Mirror
from colonnade_tenants.billing.tables import subscription_schedules
from colonnade_tenants.events import Event
from colonnade_tenants.fields import Reference, Seconds, id_of, moment, optional_id
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe

ENDED = frozenset({"canceled", "completed", "released"})
"""Statuses that are never left ("The SubscriptionSchedule object", Stripe API reference)."""


class _Item(Struct):
    price: Reference
    quantity: int | None = None


class _Phase(Struct):
    start_date: Seconds
    items: list[_Item]


class _CurrentPhase(Struct):
    start_date: Seconds


class _Schedule(Struct):
    id: str
    customer: Reference
    status: str
    subscription: Reference | None
    released_subscription: str | None
    end_behavior: str
    current_phase: _CurrentPhase | None
    phases: list[_Phase]


class PendingItem(Struct, frozen=True):
    """A price of the next phase; a metered one counts as one."""

    price: str
    quantity: int


class Schedule(Struct, frozen=True):
    """A schedule; its next phase starts at *pending_start* with *pending_items*, unless that is null."""

    status: str
    subscription: str | None
    end_behavior: str
    current_phase_start: datetime | None
    pending_start: datetime | None
    pending_items: list[PendingItem]


def _read(thing: Mapping[str, Any]) -> Schedule:
    found = msgspec.convert(thing, _Schedule)
    now = found.current_phase.start_date if found.current_phase else None
    pending = _next(found)
    return Schedule(
        status=found.status,
        subscription=optional_id(found.subscription) or found.released_subscription,
        end_behavior=found.end_behavior,
        current_phase_start=None if now is None else moment(now),
        pending_start=moment(pending.start_date) if pending else None,
        pending_items=[_item(item) for item in pending.items] if pending else [],
    )


def _next(schedule: _Schedule) -> _Phase | None:
    """The phase after the present one, by Stripe's own account of which that is: no clock of ours."""
    if schedule.status in ENDED:
        return None
    now = schedule.current_phase.start_date if schedule.current_phase else -1
    later = [phase for phase in schedule.phases if phase.start_date > now]
    return min(later, key=lambda phase: phase.start_date, default=None)


def _item(item: _Item) -> PendingItem:
    return PendingItem(id_of(item.price), 1 if item.quantity is None else item.quantity)


_MIRROR = Mirror(
    subscription_schedules,
    Schedule,
    read=_read,
    path="/v1/subscription_schedules/{}",
    stage=lambda schedule: int(schedule.status in ENDED),
)


@reads(objects=[_MIRROR.rows])
async def schedule_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the schedule."""
    schedule = msgspec.json.decode(event.object, type=_Schedule)
    owner = await customers.by_stripe_id(tenant, id_of(schedule.customer))
    await _MIRROR.apply(tenant, stripe, event, customer_id=owner)

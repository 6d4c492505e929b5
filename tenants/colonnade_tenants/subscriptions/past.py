"""What a subscription was at a past moment, from all events that are known of it by now."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from colonnade_tenants.events import Event
from colonnade_tenants.order import NOTHING
from colonnade_tenants.snapshots import Held, later
from colonnade_tenants.subscriptions.mirror import TERMINAL
from colonnade_tenants.subscriptions.past_due import PastDue, past_due
from colonnade_tenants.subscriptions.snapshot import Facts, Subscription, before, decode, facts

_CREATED = "customer.subscription.created"


class Past(msgspec.Struct, frozen=True):
    """The facts then, the event that they are from, since when it was past due, and whether its beginning is known."""

    facts: Facts
    event: str
    past_due_since: datetime | None
    complete: bool


async def as_of(events: Iterable[Event], at: datetime) -> Past | None:
    """The subscription at the moment, from its events in the order they arrived; None: it did not exist, or none tells.

    Nothing is read from Stripe, which knows the present only: where two events of one second cannot tell which was the
    later, the one heard first counts.
    """
    held: Held[Facts] | None = None
    due = PastDue()
    complete = False
    for event in events:
        if event.created > at:
            continue
        snapshot = decode(event.object)
        new = Held(facts(snapshot), event.created, event.id, _before(snapshot, event))
        held = await later(new, held, stage=_stage, reread=_nothing, partial=snapshot.items.has_more)
        said = snapshot.status == "past_due"
        changed = event.type == _CREATED or "status" in (event.previous_attributes or {})
        due = past_due(due, now=held.facts.status == "past_due", at=event.created, said=said, brought=said and changed)
        complete = complete or event.type == _CREATED
    return None if held is None else Past(held.facts, held.event, due.since, complete)


def _stage(found: Facts) -> int:
    return int(found.status in TERMINAL)


async def _nothing() -> Facts | None:
    return None


def _before(snapshot: Subscription, event: Event) -> bytes | None:
    if event.type == _CREATED:
        return NOTHING
    return None if event.previous_attributes is None else before(snapshot, event.previous_attributes)

"""Applying a snapshot of a subscription: state is a function of the snapshots, not of the order they arrive in."""

from typing import Any

import msgspec

from colonnade_tenants import customers, locks
from colonnade_tenants.events import Event
from colonnade_tenants.fields import id_of
from colonnade_tenants.order import NOTHING
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.snapshots import Held, later
from colonnade_tenants.stripe import TenantStripe
from colonnade_tenants.subscriptions.mirror import OF_CUSTOMER, TERMINAL, Mirrored
from colonnade_tenants.subscriptions.past_due import PastDue, past_due
from colonnade_tenants.subscriptions.snapshot import (
    Facts,
    ItemList,
    Subscription,
    SubscriptionItem,
    before,
    facts,
)

_CREATED = "customer.subscription.created"
_PAGE = 100  # Stripe's largest


async def apply(tenant: TenantConnection, stripe: TenantStripe, snapshot: Subscription, event: Event) -> int | None:
    """Mirror *snapshot*, which *event* brought; the customer whose facts changed, None if it is not news.

    Locks the customer. Reads from Stripe only what the event cannot tell: which of two snapshots
    of one second is the later, and the items beyond the first page.
    """
    await locks.read_catalogue(tenant)
    customer_id = await customers.by_stripe_id(tenant, id_of(snapshot.customer))
    known = await tenant.get(OF_CUSTOMER, customer_id) or {}
    old = known.get(snapshot.id)
    held = await _weigh(stripe, snapshot, event, old.held if old else None)
    new = Mirrored(snapshot.id, customer_id, held, _past_due(old, held.facts, snapshot, event))
    if new == old:
        return None
    await tenant.put(OF_CUSTOMER, customer_id, {**known, new.id: new}, known)
    return None if old and (old.held.facts, old.past_due) == (held.facts, new.past_due) else customer_id


async def _weigh(stripe: TenantStripe, snapshot: Subscription, event: Event, old: Held[Facts] | None) -> Held[Facts]:
    """The later of *snapshot* and *old*."""

    async def reread() -> Facts:
        now = msgspec.convert(await stripe.get(f"/v1/subscriptions/{snapshot.id}"), Subscription)
        return await _complete(stripe, now)

    said = Held(facts(snapshot), event.created, event.id, _before(snapshot, event))
    held = await later(said, old, stage=_stage, reread=reread, partial=snapshot.items.has_more)
    if held is said and snapshot.items.has_more:
        return msgspec.structs.replace(said, facts=await _complete(stripe, snapshot))
    return held


def _stage(found: Facts) -> int:
    return int(found.status in TERMINAL)


async def _complete(stripe: TenantStripe, snapshot: Subscription) -> Facts:
    """All facts: a list that goes on is read to its end, so that no item is taken for removed."""
    if not snapshot.items.has_more:
        return facts(snapshot)
    items: list[SubscriptionItem] = []
    more = True
    while more:
        query: dict[str, Any] = {"subscription": snapshot.id, "limit": _PAGE}
        reply = await stripe.get("/v1/subscription_items", query | ({"starting_after": items[-1].id} if items else {}))
        page = msgspec.convert(reply, ItemList)
        items += page.data
        more = page.has_more and bool(page.data)
    return facts(snapshot, items)


def _before(snapshot: Subscription, event: Event) -> bytes | None:
    if event.type == _CREATED:
        return NOTHING
    if event.previous_attributes is None or snapshot.items.has_more:
        return None
    return before(snapshot, event.previous_attributes)


def _past_due(old: Mirrored | None, now: Facts, snapshot: Subscription, event: Event) -> PastDue:
    said = snapshot.status == "past_due"
    changed = event.type == _CREATED or "status" in (event.previous_attributes or {})
    return past_due(
        old.past_due if old else PastDue(),
        now=now.status == "past_due",
        at=event.created,
        said=said,
        brought=said and changed,
    )

"""Applying a snapshot of a subscription: state is a function of the snapshots, not of the order they arrive in."""

from typing import Any

import msgspec

from colonnade_tenants import customers, locks
from colonnade_tenants.events import Event
from colonnade_tenants.order import NOTHING, Stamp, digest, settle, supersedes
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe
from colonnade_tenants.subscriptions import mirror
from colonnade_tenants.subscriptions.mirror import TERMINAL, Mirrored
from colonnade_tenants.subscriptions.past_due import PastDue, past_due
from colonnade_tenants.subscriptions.snapshot import (
    Facts,
    ItemList,
    Subscription,
    SubscriptionItem,
    before,
    facts,
    id_of,
)

_CREATED = "customer.subscription.created"
_PAGE = 100  # Stripe's largest
READ = "read"
"""`source_event` of what no event said so far: it was read."""


async def apply(tenant: TenantConnection, stripe: TenantStripe, snapshot: Subscription, event: Event) -> int | None:
    """Mirror *snapshot*, which *event* brought; the customer whose facts changed, None if it is not news.

    Locks the customer, then the subscription. Reads from Stripe only what the event cannot tell: which of two snapshots
    of one second is the later, and the items beyond the first page.
    """
    await locks.read_catalogue(tenant)
    customer_id = await customers.by_stripe_id(tenant, id_of(snapshot.customer))
    old = await mirror.load(tenant, snapshot.id)
    new = await _weigh(stripe, snapshot, event, customer_id, old)
    new = msgspec.structs.replace(new, past_due=_past_due(old, new.facts, snapshot, event))
    if new == old:
        return None
    await mirror.save(tenant, new, old)
    return None if old and (old.facts, old.past_due) == (new.facts, new.past_due) else new.customer_id


async def _weigh(
    stripe: TenantStripe, snapshot: Subscription, event: Event, customer_id: int, old: Mirrored | None
) -> Mirrored:
    """The later of *snapshot* and *old*; `past_due` is still to be told."""
    stamp = Stamp(event.created, snapshot.status in TERMINAL, digest(facts(snapshot)), _before(snapshot, event))
    news = old is None or _is_news(stamp, old.stamp(), partial=snapshot.items.has_more)
    if old is None or news:
        found = await _complete(stripe, snapshot)
        return Mirrored(snapshot.id, customer_id, found, PastDue(), event.created, event.id, stamp.before)
    if news is None:
        return await _reread(stripe, event, stamp, old)
    if (stamp.created, stamp.facts) != (old.source_created, old.stamp().facts):
        return old
    name = event.id if old.source_event == READ else min(event.id, old.source_event)
    return msgspec.structs.replace(old, source_event=name, source_before=settle(stamp, old.stamp()))


def _is_news(new: Stamp, old: Stamp, *, partial: bool) -> bool | None:
    """As `supersedes`; but what shows only some of the items cannot be compared."""
    tie = (new.final, new.created) == (old.final, old.created)
    return None if partial and tie else supersedes(new, old)


async def _reread(stripe: TenantStripe, event: Event, stamp: Stamp, old: Mirrored) -> Mirrored:
    """What Stripe says now, under the `created` that the two have in common: anything later still is news."""
    now = msgspec.convert(await stripe.get(f"/v1/subscriptions/{old.id}"), Subscription)
    found = await _complete(stripe, now)
    if found == old.facts or (old.facts.status in TERMINAL and found.status not in TERMINAL):
        return msgspec.structs.replace(old, source_before=None)
    name = event.id if digest(found) == stamp.facts else READ
    return msgspec.structs.replace(old, facts=found, source_event=name, source_before=None)


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
    return before(event.object, event.previous_attributes)


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

"""What events about subscriptions, and first purchases, do."""

import msgspec
from msgspec import Struct

from colonnade_tenants import customers, locks, subscriptions
from colonnade_tenants.ahead import reads
from colonnade_tenants.entitlements.rows import BOOKS
from colonnade_tenants.entitlements.store import recompute
from colonnade_tenants.entitlements.terms import OVERRIDES
from colonnade_tenants.events import Event
from colonnade_tenants.fields import Reference, id_of
from colonnade_tenants.notifications import notes, tell
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe


@reads(customers=[subscriptions.OF_CUSTOMER, BOOKS, OVERRIDES])
async def subscription_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the subscription, tell the tenant of it, then bring its customer's entitlements in line."""
    snapshot = subscriptions.decode(event.object)
    customer = await subscriptions.apply(tenant, stripe, snapshot, event)
    if customer is not None:
        now = (await tenant.get(subscriptions.OF_CUSTOMER, customer) or {}).get(snapshot.id)
        if now is not None:
            await tell(tenant, [notes.subscription_changed(customer, snapshot.id, event.id, now.held.facts)])
        await recompute(tenant, customer, cause=event.cause)


class _Metadata(Struct):
    colonnade_customer: str | None = None


class _Checkout(Struct):
    """Stripe's Checkout session ("The Checkout Session object", Stripe API reference)."""

    customer: Reference | None
    metadata: _Metadata | None


async def checkout_completed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Bind the Stripe customer that Checkout made to the customer it was made for; its subscription has own events."""
    session = msgspec.json.decode(event.object, type=_Checkout)
    if session.customer is None:
        return
    ours = session.metadata.colonnade_customer if session.metadata else None
    if ours is None:
        await customers.by_stripe_id(tenant, id_of(session.customer))
    else:
        await locks.read_catalogue(tenant)
        customer = await customers.adopt(tenant, ours, id_of(session.customer))
        await recompute(tenant, customer, cause=event.id)

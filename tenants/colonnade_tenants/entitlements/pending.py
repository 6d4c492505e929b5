"""What schedules will make of subscriptions: read where the future is asked about, and nowhere else."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import select

from colonnade_tenants.billing.schedules import ENDED, PendingItem
from colonnade_tenants.billing.tables import subscription_schedules
from colonnade_tenants.entitlements.model import Item, Pending, Subscription
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import subscription_items

UNKNOWN = ""
"""The product of a price that no subscription of the tenant has had: a schedule names prices alone."""


async def pending_changes(session: TenantSession, subscriptions: Sequence[str]) -> dict[str, Pending]:
    """The next phase of each subscription that has one."""
    table = subscription_schedules.c
    found = await session.execute(
        select(table.id, table.subscription, table.pending_start, table.pending_items).where(
            table.tenant_id == TENANT,
            table.subscription.in_(subscriptions),
            table.status.not_in(ENDED),
            table.pending_start.is_not(None),
        )
    )
    rows = [(row, msgspec.convert(row.pending_items, list[PendingItem])) for row in found]
    products = await _products(session, {item.price for _, items in rows for item in items})
    return {
        row.subscription: Pending(
            row.id,
            row.pending_start,
            tuple(Item(row.id, item.price, products.get(item.price, UNKNOWN), item.quantity) for item in items),
        )
        for row, items in rows
    }


async def _products(session: TenantSession, prices: set[str]) -> dict[str, str]:
    items = subscription_items.c
    found = select(items.price, items.product).distinct().where(items.tenant_id == TENANT, items.price.in_(prices))
    return {row.price: row.product for row in await session.execute(found)}


def with_pending(subscription: Subscription, pending: dict[str, Pending]) -> Subscription:
    """The subscription, with what is to become of it."""
    return msgspec.structs.replace(subscription, pending=pending.get(subscription.id))

"""Prices that a tenant's customers pay now, and that a portal would not offer: who is on one cannot switch in it."""

from collections.abc import Collection

from msgspec import Struct
from sqlalchemy import func, select

from colonnade.portals.content import Content
from colonnade.portals.offers import PATH
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import subscription_items, subscriptions

MOST = 100
RUNNING = ("active", "trialing", "past_due")
"""Statuses of subscriptions that the portal lets customers change."""


class Missing(Struct, frozen=True):
    """*price* of *product* is what *customers* customers pay."""

    price: str
    product: str
    customers: int


class Caution(Struct, frozen=True):
    """Something to know that is not refused. *missing*: the prices, those of the most customers first, at most 100."""

    param: str
    detail: str
    missing: list[Missing] = []


async def warnings(session: TenantSession, content: Content) -> list[Caution]:
    """What the tenant should know of *content*."""
    update = content.settings.features.subscription_update
    found: list[Caution] = []
    if update.enabled and {"price", "quantity"} & {*update.default_allowed_updates}:
        missing = await _missing(session, {price for offer in content.offers for price in offer.prices})
        if missing:
            count = sum(each.customers for each in missing)
            counts = f"prices: {len(missing)}, customers: {count}"
            detail = f"Prices that customers have now are not offered here ({counts}): they cannot switch."
            found.append(Caution(PATH, detail, missing))
    if update.schedule_at_period_end.conditions and len(update.products) > 1:
        detail = "Stripe defers a change between prices of one product alone; one to another product is made at once."
        found.append(Caution("features.subscription_update.schedule_at_period_end.conditions", detail))
    return found


async def _missing(session: TenantSession, offered: Collection[str]) -> list[Missing]:
    items, owners = subscription_items.c, subscriptions.c
    customers = func.count(owners.customer_id.distinct())
    found = (
        select(items.price, func.min(items["product"]).label("product"), customers.label("customers"))
        .join_from(
            subscription_items,
            subscriptions,
            (items.tenant_id == owners.tenant_id) & (items.subscription == owners.id),
        )
        .where(items.tenant_id == TENANT, owners.tenant_id == TENANT, owners.status.in_(RUNNING))
        .where(items.price.not_in([*offered]))
        .group_by(items.price)
        .order_by(customers.desc(), items.price)
        .limit(MOST)
    )
    return [Missing(**row) for row in (await session.execute(found)).mappings()]

"""Whose entitlements a change of plans, features or policy reaches, and recomputing those, batch after batch.

The first batch goes with the change itself, so that a small tenant sees it at once; whoever called carries on with the
`Rest`. A batch is one transaction that takes locks in the order of all others, and holds them for a moment only.
"""

from typing import Any

import msgspec
from sqlalchemy import ARRAY, BigInteger, Boolean, Text, bindparam, cast, func, or_, select

from colonnade_tenants.entitlements.rows import CHANNEL
from colonnade_tenants.entitlements.store import recompute_many
from colonnade_tenants.partition import TENANT, Statement, TenantConnection, TenantSession
from colonnade_tenants.tables import customers, entitlements, subscription_items, subscriptions

BATCH = 200
"""Customers recomputed in one transaction."""


class Scope(msgspec.Struct, frozen=True):
    """Whom a change reaches: who has an item of these prices or products, or a row of these features.

    *standing*: whose access the policy decides, because a subscription is trialing, past due or paused. *everyone*: all
    customers.
    """

    prices: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    standing: bool = False
    everyone: bool = False


class Rest(msgspec.Struct, frozen=True):
    """What is still to be done of a change: *position* is the last customer that was, of *total*."""

    scope: Scope
    cause: str
    position: int
    done: int
    total: int


async def recompute_first(session: TenantSession, scope: Scope, cause: str) -> Rest | None:
    """Recompute the first batch in the transaction of the change; None: that were all."""
    tenant = await session.twin()
    done = await recompute_batch(tenant, scope, cause, after=0)
    if len(done) < BATCH:
        return None
    row = await tenant.fetch_one(_COUNT, **_arguments(scope, 0))
    return Rest(scope, cause, done[-1], len(done), row["total"] if row else len(done))


async def recompute_batch(tenant: TenantConnection, scope: Scope, cause: str, after: int) -> list[int]:
    """Recompute the next customers, by internal id; fewer than `BATCH`: nobody is left."""
    rows = await tenant.fetch(_NEXT, **_arguments(scope, after), batch=BATCH)
    found = [row["id"] for row in rows]
    if found:
        await recompute_many(tenant, found, cause)
    return found


async def announce_all(session: TenantSession) -> None:
    """Tell whoever keeps answers to checks that any customer's may have changed."""
    await session.execute(select(func.pg_notify(CHANNEL, cast(TENANT, Text) + ":*")))


def _arguments(scope: Scope, after: int) -> dict[str, Any]:
    return {
        "prices": list(scope.prices),
        "products": list(scope.products),
        "features": list(scope.features),
        "standing": scope.standing,
        "everyone": scope.everyone,
        "after": after,
    }


def _any(name: str) -> Any:
    return func.any(bindparam(name, type_=ARRAY(Text)))


_SUBSCRIBED = (
    select(subscriptions.c.id)
    .where(
        subscriptions.c.tenant_id == TENANT,
        subscriptions.c.customer_id == customers.c.id,
        or_(
            bindparam("standing", type_=Boolean)
            & or_(
                subscriptions.c.status == "trialing",
                subscriptions.c.status == "past_due",
                subscriptions.c.pause_behavior.is_not(None),
            ),
            select(subscription_items.c.id)
            .where(
                subscription_items.c.tenant_id == TENANT,
                subscription_items.c.subscription == subscriptions.c.id,
                or_(subscription_items.c.price == _any("prices"), subscription_items.c.product == _any("products")),
            )
            .exists(),
        ),
    )
    .exists()
)
_HOLDING = (
    select(entitlements.c.feature)
    .where(
        entitlements.c.tenant_id == TENANT,
        entitlements.c.customer_id == customers.c.id,
        entitlements.c.feature == _any("features"),
    )
    .exists()
)
_REACHED = (
    customers.c.tenant_id == TENANT,
    customers.c.id > bindparam("after", type_=BigInteger),
    or_(bindparam("everyone", type_=Boolean), _SUBSCRIBED, _HOLDING),
)
# A walk along the primary key: one page costs the same wherever it lies.
_NEXT = Statement(
    select(customers.c.id).where(*_REACHED).order_by(customers.c.id).limit(bindparam("batch", type_=BigInteger))
)
_COUNT = Statement(select(func.count().label("total")).select_from(customers).where(*_REACHED))

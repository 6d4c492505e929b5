"""Plans: a price or product at Stripe, and the features it grants."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants import locks, values
from colonnade_tenants.entitlements.model import LARGEST, Kind
from colonnade_tenants.entitlements.store import recompute
from colonnade_tenants.errors import Conflict, Invalid, NotFound
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import features, plan_grants, plans, subscription_items, subscriptions


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*value*: true for a flag; a number for a quantity; a number, or null for no limit, for a limit.

    *per_unit* multiplies it by the quantity of the subscription's item: 5 projects a seat.
    """

    feature: str
    value: bool | int | None
    per_unit: bool = False


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either *price* (`price_…`) or *product* (`prod_…`). For an item that both match, the price's plan counts."""

    key: str
    name: str
    price: str | None = None
    product: str | None = None
    grants: list[Grant] = []


_COLUMNS = [plans.c[name] for name in ("key", "name", "price", "product")]


def _own(key: str) -> ColumnElement[bool]:
    return (plans.c.tenant_id == TENANT) & (plans.c.key == key)


async def put_plan(session: TenantSession, plan: Plan) -> bool:
    """Create or change a plan, and the entitlements of those who have it; whether it is new.

    Raises `Invalid`; `Conflict` if another plan has its price or product.
    """
    _validate(plan)
    await locks.change_catalogue(await session.twin())
    await _check_grants(session, plan.grants)
    await _check_unique(session, plan)
    old = (await session.execute(select(*_COLUMNS).where(_own(plan.key)))).one_or_none()
    fields = {"key": plan.key, "name": plan.name, "price": plan.price, "product": plan.product}
    new = insert(plans).values(tenant_id=TENANT, **fields)
    await session.execute(
        new.on_conflict_do_update(index_elements=["tenant_id", "key"], set_=fields | {"updated_at": func.now()})
    )
    await _put_grants(session, plan)
    await _recompute(session, plan.key, [fields, *([dict(old._mapping)] if old else [])])
    return old is None


async def get_plan(session: TenantSession, key: str) -> Plan:
    """Raises `NotFound`."""
    found = await session.execute(select(*_COLUMNS).where(_own(key)))
    if row := found.one_or_none():
        return (await _with_grants(session, [row]))[0]
    raise NotFound(f"There is no plan {key!r}.", "key")


async def list_plans(session: TenantSession, after: str | None = None, limit: int = 20) -> list[Plan]:
    """At most *limit* plans by key, from the one that follows the key *after*."""
    page = select(*_COLUMNS).where(plans.c.tenant_id == TENANT, plans.c.key > values.after(after))
    return await _with_grants(session, (await session.execute(page.order_by(plans.c.key).limit(limit))).all())


async def delete_plan(session: TenantSession, key: str) -> None:
    """Delete a plan, and take what it granted from those who have it. Raises `NotFound`."""
    await locks.change_catalogue(await session.twin())
    gone = (await session.execute(delete(plans).where(_own(key)).returning(*_COLUMNS))).one_or_none()
    if gone is None:
        raise NotFound(f"There is no plan {key!r}.", "key")
    await _recompute(session, key, [dict(gone._mapping)])


def _validate(plan: Plan) -> None:
    values.key(plan.key)
    values.text(plan.name, "name", 200)
    if plan.price is None and plan.product is None:
        raise Invalid("Name the price or the product that this plan is.", "price")
    if plan.price is not None and plan.product is not None:
        raise Invalid("Name a price or a product, not both.", "product")
    for param, other, value in (("price", "prod_", plan.price), ("product", "price_", plan.product)):
        values.stripe_id(value, param)
        if value is not None and value.startswith(other):
            raise Invalid(f"{value} is no {param}.", param)


async def _check_grants(session: TenantSession, grants: Sequence[Grant]) -> None:
    found = select(features.c.key, features.c.kind).where(features.c.tenant_id == TENANT)
    kinds: dict[str, Kind] = {row.key: row.kind for row in await session.execute(found)}
    seen: set[str] = set()
    for index, grant in enumerate(grants):
        if grant.feature not in kinds:
            raise Invalid(f"There is no feature {grant.feature!r}.", f"grants[{index}].feature")
        if grant.feature in seen:
            raise Invalid(f"{grant.feature!r} is granted twice.", f"grants[{index}].feature")
        seen.add(grant.feature)
        _check_value(grant, kinds[grant.feature], f"grants[{index}]")


def _check_value(grant: Grant, kind: Kind, param: str) -> None:
    value = grant.value
    number = type(value) is int and 0 <= value <= LARGEST
    allowed = {
        "flag": (value is True, "A flag is granted as true."),
        "limit": (number or value is None, f"A limit is a whole number up to {LARGEST}, or null for no limit."),
        "quantity": (number, f"A quantity is a whole number up to {LARGEST}."),
    }
    fits, rule = allowed[kind]
    if not fits:
        raise Invalid(rule, f"{param}.value")
    if grant.per_unit and (kind == "flag" or value is None):
        raise Invalid("Only a number can be per unit.", f"{param}.per_unit")


async def _check_unique(session: TenantSession, plan: Plan) -> None:
    same = plans.c.price == plan.price if plan.product is None else plans.c.product == plan.product
    found = select(plans.c.key).where(plans.c.tenant_id == TENANT, plans.c.key != plan.key, same)
    if other := (await session.execute(found)).scalar_one_or_none():
        raise Conflict(f"Plan {other!r} has it already.", "product" if plan.price is None else "price")


async def _put_grants(session: TenantSession, plan: Plan) -> None:
    await session.execute(delete(plan_grants).where(plan_grants.c.tenant_id == TENANT, plan_grants.c.plan == plan.key))
    if plan.grants:
        rows = [
            {"tenant_id": TENANT, "plan": plan.key, "feature": g.feature, "value": g.value, "per_unit": g.per_unit}
            | ({"value": 1} if g.value is True else {})
            for g in plan.grants
        ]
        await session.execute(insert(plan_grants).values(rows))


async def _with_grants(session: TenantSession, rows: Sequence[Any]) -> list[Plan]:
    columns = (plan_grants.c.plan, plan_grants.c.feature, plan_grants.c.value, plan_grants.c.per_unit, features.c.kind)
    join = plan_grants.join(features, (features.c.tenant_id == TENANT) & (features.c.key == plan_grants.c.feature))
    wanted = plan_grants.c.plan.in_([row.key for row in rows])
    found = select(*columns).select_from(join).where(plan_grants.c.tenant_id == TENANT, wanted)
    grants = defaultdict(list)
    for row in await session.execute(found.order_by(plan_grants.c.feature)):
        grants[row.plan].append(Grant(row.feature, True if row.kind == "flag" else row.value, row.per_unit))
    return [Plan(row.key, row.name, row.price, row.product, grants[row.key]) for row in rows]


async def _recompute(session: TenantSession, key: str, versions: Sequence[Mapping[str, Any]]) -> None:
    """Recompute whoever has an item that a version of this plan means, in the order that all locks are taken in."""
    items, subscribed = subscription_items, subscriptions
    meant = or_(*(items.c[column] == version[column] for version in versions for column in ("price", "product")))
    join = items.join(subscribed, (subscribed.c.tenant_id == TENANT) & (subscribed.c.id == items.c.subscription))
    found = select(subscribed.c.customer_id).distinct().select_from(join)
    found = found.where(items.c.tenant_id == TENANT, meant)
    customers = (await session.execute(found.order_by(subscribed.c.customer_id))).scalars().all()
    tenant = await session.twin()
    for customer in customers:
        await recompute(tenant, customer, cause=f"plan:{key}")

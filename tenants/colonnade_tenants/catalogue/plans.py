"""Plans: a price or product at Stripe, and the features it grants."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants import locks, values
from colonnade_tenants.catalogue import plan_versions
from colonnade_tenants.catalogue.affected import Rest, Scope, recompute_first
from colonnade_tenants.entitlements import model
from colonnade_tenants.entitlements.model import Kind
from colonnade_tenants.entitlements.worth import check_value
from colonnade_tenants.errors import Conflict, Invalid, NotFound
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import features, plan_grants, plans
from colonnade_tenants.times import require_moment


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*value*: true for a flag; a number for a quantity; a number, or null for no limit, for a limit.

    *per_unit* multiplies it by the quantity of the subscription's item: 5 projects a seat.
    """

    feature: str
    value: bool | int | None
    per_unit: bool = False


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either *price* (`price_…`) or *product* (`prod_…`). For an item that both match, the price's plan counts.

    *version* counts the changes of what it is sold as and of its grants.
    """

    key: str
    name: str
    price: str | None = None
    product: str | None = None
    grants: list[Grant] = []
    version: int = 1


class PlanVersion(msgspec.Struct, frozen=True):
    """What a plan granted from *effective_from* (null: from the beginning) until the next version began.

    With neither *price* nor *product*, the plan was deleted.
    """

    version: int
    effective_from: datetime | None
    price: str | None
    product: str | None
    grants: list[Grant]


class PutPlan(msgspec.Struct, frozen=True):
    """What putting a plan did; *rest*: the customers whose entitlements are still to be recomputed."""

    version: int
    created: bool
    rest: Rest | None = None


_COLUMNS = [plans.c[name] for name in ("key", "name", "price", "product", "version")]


def _own(key: str) -> ColumnElement[bool]:
    return (plans.c.tenant_id == TENANT) & (plans.c.key == key)


async def put_plan(
    session: TenantSession, plan: Plan, *, effective_from: datetime | None = None, author: str | None = None
) -> PutPlan:
    """Create or change a plan, and the entitlements of those who have it; they change at *effective_from*, or now.

    A change of what it is sold as or of its grants is a new version; what held before it is never rewritten.

    Raises `Invalid`; `Conflict` if another plan has its price or product from then on.
    """
    _validate(plan)
    now = await locks.change_catalogue(await session.twin())
    kinds = await _check_grants(session, plan.grants)
    if effective_from is not None and require_moment(effective_from, "effective_from") < now:
        raise Invalid("A change takes effect now or later: it does not rewrite the past.", "effective_from")
    since = effective_from or now
    await _check_unique(session, plan, since)
    last = await plan_versions.newest(session, plan.key)
    new = _version(plan, kinds, last.version + 1 if last else 1, since)
    same = last is not None and last.since <= since and _terms(last) == _terms(new)
    created = await _put_row(session, plan, last.version if last and same else new.version)
    if last is not None and same:
        return PutPlan(last.version, created)
    await plan_versions.add(session, new, author)
    await _put_grants(session, plan)
    reached = await plan_versions.planned(session, now) if last else []
    rest = await _recompute(session, new, [new, *([last] if last else []), *(p for p in reached if p.key == plan.key)])
    return PutPlan(new.version, created, rest)


async def get_plan(session: TenantSession, key: str) -> Plan:
    """Raises `NotFound`."""
    found = await session.execute(select(*_COLUMNS).where(_own(key)))
    if row := found.one_or_none():
        return (await _with_grants(session, [row]))[0]
    raise NotFound(f"There is no plan {key!r}.", "key")


async def list_plan_versions(session: TenantSession, key: str) -> list[PlanVersion]:
    """All versions, the newest first. Raises `NotFound`."""
    found = await plan_versions.of_plan(session, key)
    if not found:
        raise NotFound(f"There is no plan {key!r}.", "key")
    return [_shown(plan) for plan in found]


def _shown(plan: model.Plan) -> PlanVersion:
    grants = [
        Grant(grant.feature, True if grant.kind == "flag" else grant.value, grant.per_unit) for grant in plan.grants
    ]
    since = None if plan.since == model.ALWAYS else plan.since
    return PlanVersion(plan.version, since, plan.price, plan.product, grants)


async def list_plans(session: TenantSession, after: str | None = None, limit: int = 20) -> list[Plan]:
    """At most *limit* plans by key, from the one that follows the key *after*."""
    page = select(*_COLUMNS).where(plans.c.tenant_id == TENANT, plans.c.key > values.after(after))
    return await _with_grants(session, (await session.execute(page.order_by(plans.c.key).limit(limit))).all())


async def delete_plan(session: TenantSession, key: str, author: str | None = None) -> Rest | None:
    """Delete a plan, and take what it granted from those who have it; those left to recompute. Raises `NotFound`."""
    now = await locks.change_catalogue(await session.twin())
    reached = [plan for plan in await plan_versions.planned(session, now) if plan.key == key]
    gone = (await session.execute(delete(plans).where(_own(key)).returning(plans.c.key))).one_or_none()
    last = await plan_versions.newest(session, key)
    if gone is None or last is None:
        raise NotFound(f"There is no plan {key!r}.", "key")
    end = model.Plan(key, None, None, (), last.version + 1, now)
    await plan_versions.add(session, end, author)
    return await _recompute(session, end, [last, *reached])


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


async def _check_grants(session: TenantSession, grants: Sequence[Grant]) -> dict[str, Kind]:
    """The kinds of the tenant's features."""
    found = select(features.c.key, features.c.kind).where(features.c.tenant_id == TENANT)
    kinds: dict[str, Kind] = {row.key: row.kind for row in await session.execute(found)}
    seen: set[str] = set()
    for index, grant in enumerate(grants):
        if grant.feature not in kinds:
            raise Invalid(f"There is no feature {grant.feature!r}.", f"grants[{index}].feature")
        if grant.feature in seen:
            raise Invalid(f"{grant.feature!r} is granted twice.", f"grants[{index}].feature")
        seen.add(grant.feature)
        check_value(grant.value, kinds[grant.feature], f"grants[{index}].value")
        if grant.per_unit and (kinds[grant.feature] == "flag" or grant.value is None):
            raise Invalid("Only a number can be per unit.", f"grants[{index}].per_unit")
    return kinds


async def _check_unique(session: TenantSession, plan: Plan, since: datetime) -> None:
    others = await plan_versions.holders(session, plan.price, plan.product, since)
    for other in others:
        if other != plan.key:
            raise Conflict(f"Plan {other!r} has it already.", "product" if plan.price is None else "price")


def _version(plan: Plan, kinds: dict[str, Kind], number: int, since: datetime) -> model.Plan:
    grants = tuple(
        model.Grant(grant.feature, kinds[grant.feature], 1 if grant.value is True else grant.value, grant.per_unit)
        for grant in sorted(plan.grants, key=lambda grant: grant.feature)
    )
    return model.Plan(plan.key, plan.price, plan.product, grants, number, since)


def _terms(plan: model.Plan) -> tuple[Any, ...]:
    return plan.price, plan.product, plan.grants


async def _put_row(session: TenantSession, plan: Plan, version: int) -> bool:
    """The plan as it was put last; whether it is new."""
    known = (await session.execute(select(plans.c.key).where(_own(plan.key)))).one_or_none()
    fields = {"key": plan.key, "name": plan.name, "price": plan.price, "product": plan.product, "version": version}
    await session.execute(
        insert(plans)
        .values(tenant_id=TENANT, **fields)
        .on_conflict_do_update(index_elements=["tenant_id", "key"], set_=fields | {"updated_at": func.now()})
    )
    return known is None


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
    return [Plan(row.key, row.name, row.price, row.product, grants[row.key], row.version) for row in rows]


async def _recompute(session: TenantSession, new: model.Plan, versions: Sequence[model.Plan]) -> Rest | None:
    """Recompute whoever has an item that one of these versions means."""
    scope = Scope(
        prices=tuple(sorted({plan.price for plan in versions if plan.price is not None})),
        products=tuple(sorted({plan.product for plan in versions if plan.product is not None})),
    )
    return await recompute_first(session, scope, f"plan:{new.key}@{new.version}")

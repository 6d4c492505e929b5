"""The versions of plans: each holds from a moment, and is never changed afterwards."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants.entitlements.model import ALWAYS, Grant, Plan
from colonnade_tenants.entitlements.versions import windows
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import plan_versions

_COLUMNS = [plan_versions.c[name] for name in ("plan", "version", "effective_from", "price", "product", "grants")]


async def newest(session: TenantSession, key: str) -> Plan | None:
    """The last word on the plan, though it may not hold yet; None: there never was such a plan."""
    found = await _versions(session, plan_versions.c.plan == key)
    return max(found, key=lambda plan: plan.version, default=None)


async def of_plan(session: TenantSession, key: str) -> list[Plan]:
    """All versions, the newest first."""
    return sorted(await _versions(session, plan_versions.c.plan == key), key=lambda plan: -plan.version)


async def planned(session: TenantSession, now: datetime) -> list[Plan]:
    """The versions that are in effect, or will be."""
    by_key: dict[str, list[Plan]] = defaultdict(list)
    for plan in await _versions(session):
        by_key[plan.key].append(plan)
    return [plan for versions in by_key.values() for plan, _, end in windows(versions) if end > now]


async def holders(session: TenantSession, price: str | None, product: str | None, since: datetime) -> list[str]:
    """The keys of plans that mean this price or product at *since* or later."""
    table = plan_versions.alias()
    same = or_(table.c.price == price, table.c.product == product)
    meant = select(table.c.plan).where(table.c.tenant_id == TENANT, same)
    by_key: dict[str, list[Plan]] = defaultdict(list)
    for plan in await _versions(session, plan_versions.c.plan.in_(meant)):
        by_key[plan.key].append(plan)
    return [
        key
        for key, versions in by_key.items()
        for plan, _, end in windows(versions)
        if end > since and (plan.price, plan.product) == (price, product)
    ]


async def add(session: TenantSession, plan: Plan, author: str | None) -> None:
    """Note a new version."""
    await session.execute(
        insert(plan_versions).values(
            tenant_id=TENANT,
            plan=plan.key,
            version=plan.version,
            effective_from=plan.since,
            price=plan.price,
            product=plan.product,
            grants=msgspec.to_builtins(plan.grants),
            author=author,
        )
    )


async def _versions(session: TenantSession, *where: ColumnElement[bool]) -> Sequence[Plan]:
    found = await session.execute(select(*_COLUMNS).where(plan_versions.c.tenant_id == TENANT, *where))
    return [_plan(row) for row in found]


def _plan(row: Any) -> Plan:
    grants = msgspec.convert(row.grants, tuple[Grant, ...])
    return Plan(row.plan, row.price, row.product, grants, row.version, row.effective_from or ALWAYS)

"""Features: what an entitlement is about."""

from typing import Any, get_args

import msgspec
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants import locks, values
from colonnade_tenants.entitlements.model import Kind
from colonnade_tenants.errors import Conflict, Invalid, NotFound
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import features, plan_grants


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*flag*: has it or not. *limit*: at most so many, of several the largest. *quantity*: so many, of several the sum.

    *unit* says of what ("seats"), for limits and quantities.
    """

    key: str
    kind: Kind
    name: str
    unit: str | None = None
    description: str | None = None


_COLUMNS = [features.c[name] for name in Feature.__struct_fields__]


def _own(key: str) -> ColumnElement[bool]:
    return (features.c.tenant_id == TENANT) & (features.c.key == key)


async def put_feature(session: TenantSession, feature: Feature) -> bool:
    """Create or change a feature; whether it is new.

    Raises `Invalid`; `Conflict` if plans grant it and its kind would change: their grants would change their meaning.
    """
    _validate(feature)
    await locks.change_catalogue(await session.twin())
    found = await session.execute(select(features.c.kind).where(_own(feature.key)))
    kind = found.scalar_one_or_none()
    if kind not in (None, feature.kind) and (plans := await _granting(session, feature.key)):
        raise Conflict(f"It stays a {kind}: {_named(plans)} it.", "kind")
    fields = msgspec.structs.asdict(feature)
    new = insert(features).values(tenant_id=TENANT, **fields)
    changed = {name: value for name, value in fields.items() if name != "key"} | {"updated_at": func.now()}
    await session.execute(new.on_conflict_do_update(index_elements=["tenant_id", "key"], set_=changed))
    return kind is None


async def get_feature(session: TenantSession, key: str) -> Feature:
    """Raises `NotFound`."""
    found = await session.execute(select(*_COLUMNS).where(_own(key)))
    if row := found.one_or_none():
        return _feature(row)
    raise NotFound(f"There is no feature {key!r}.", "key")


async def list_features(session: TenantSession, after: str | None = None, limit: int = 20) -> list[Feature]:
    """At most *limit* features by key, from the one that follows the key *after*."""
    page = select(*_COLUMNS).where(features.c.tenant_id == TENANT, features.c.key > values.after(after))
    return [_feature(row) for row in await session.execute(page.order_by(features.c.key).limit(limit))]


async def delete_feature(session: TenantSession, key: str) -> None:
    """Raises `NotFound`; `Conflict` while plans grant it."""
    await locks.change_catalogue(await session.twin())
    if plans := await _granting(session, key):
        raise Conflict(f"It cannot go: {_named(plans)} it.")
    gone = await session.execute(delete(features).where(_own(key)).returning(features.c.key))
    if gone.one_or_none() is None:
        raise NotFound(f"There is no feature {key!r}.", "key")


def _validate(feature: Feature) -> None:
    values.key(feature.key)
    values.text(feature.name, "name", 200)
    values.text(feature.unit, "unit", 40)
    values.text(feature.description, "description", 2000, lines=True)
    if feature.kind not in get_args(Kind):
        raise Invalid("A feature is a flag, a limit or a quantity.", "kind")
    if feature.kind == "flag" and feature.unit is not None:
        raise Invalid("A flag counts nothing.", "unit")


async def _granting(session: TenantSession, key: str) -> list[str]:
    """The keys of at most four plans that grant this feature."""
    grants = select(plan_grants.c.plan).where(plan_grants.c.tenant_id == TENANT, plan_grants.c.feature == key)
    return list((await session.execute(grants.order_by(plan_grants.c.plan).limit(4))).scalars())


def _named(plans: list[str]) -> str:
    """`plan 'a' grants`, `plans 'a', 'b', 'c', … grant`."""
    shown = ", ".join([*(repr(plan) for plan in plans[:3]), *("…" for _ in plans[3:])])
    return f"plan {shown} grants" if len(plans) == 1 else f"plans {shown} grant"


def _feature(row: Any) -> Feature:
    return Feature(**row._mapping)

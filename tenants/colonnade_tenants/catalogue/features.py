"""Features: what an entitlement is about."""

from datetime import datetime
from typing import Any, get_args

import msgspec
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert

from colonnade_tenants import locks, values
from colonnade_tenants.catalogue.affected import Rest, Scope, announce_all, recompute_first
from colonnade_tenants.catalogue.use import overriding, selling
from colonnade_tenants.entitlements.model import LARGEST, RULES, Kind, Rule
from colonnade_tenants.errors import Conflict, Invalid, NotFound
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import feature_versions, features


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*flag*: has it or not. *limit*: at most so many. *quantity*: so many.

    *unit* says of what ("seats"), for limits and quantities. *combine* is what several grants give together: `or` for
    flags, `max` for limits, `sum` for quantities, unless it says otherwise. *fallback* is the value where nothing
    grants any. *version* counts the changes of kind, *combine* and *fallback*.
    """

    key: str
    kind: Kind
    name: str
    unit: str | None = None
    description: str | None = None
    combine: Rule | None = None
    fallback: bool | int = 0
    version: int = 1


class PutFeature(msgspec.Struct, frozen=True):
    """What putting a feature did; *rest*: the customers whose entitlements are still to be recomputed."""

    feature: Feature
    created: bool
    rest: Rest | None = None


_COLUMNS = [features.c[name] for name in Feature.__struct_fields__]
_RESERVED = frozenset({"explain", "changes"})
_MEANING = ("kind", "combine", "fallback")


def _own(key: str) -> ColumnElement[bool]:
    return (features.c.tenant_id == TENANT) & (features.c.key == key)


async def put_feature(session: TenantSession, feature: Feature, author: str | None = None) -> PutFeature:
    """Create or change a feature. A change of its meaning is a new version, which holds from now on.

    Raises `Invalid`; `Conflict` if its kind would change while plans grant it or overrides are about it.
    """
    _validate(feature)
    feature = msgspec.structs.replace(feature, combine=feature.combine or RULES[feature.kind][0])
    since = await locks.change_catalogue(await session.twin())
    old = (await session.execute(select(*_COLUMNS).where(_own(feature.key)))).one_or_none()
    if old is not None and old.kind != feature.kind:
        await _require_unused(session, feature.key, "kind", f"It stays a {old.kind}", since)
    if old is not None and all(getattr(old, name) == getattr(feature, name) for name in _MEANING):
        changed, feature = False, _with(feature, old.version)
    else:
        changed, feature = True, await _numbered(session, feature, since, author)
    fields = {**msgspec.structs.asdict(feature), "fallback": int(feature.fallback)}
    update = {name: value for name, value in fields.items() if name != "key"} | {"updated_at": func.now()}
    await session.execute(
        insert(features)
        .values(tenant_id=TENANT, **fields)
        .on_conflict_do_update(index_elements=["tenant_id", "key"], set_=update)
    )
    rest = None
    if old is not None and changed:
        scope = Scope(features=(feature.key,) if old.combine != feature.combine else ())
        rest = await recompute_first(session, scope, f"feature:{feature.key}@{feature.version}")
    await announce_all(session)
    return PutFeature(feature, old is None, rest)


def _with(feature: Feature, version: int) -> Feature:
    return msgspec.structs.replace(feature, version=version)


async def _numbered(session: TenantSession, feature: Feature, since: datetime, author: str | None) -> Feature:
    """The feature with a new version, noted. One that was deleted and is made again goes on counting."""
    last = select(func.max(feature_versions.c.version)).where(
        feature_versions.c.tenant_id == TENANT, feature_versions.c.feature == feature.key
    )
    feature = _with(feature, ((await session.execute(last)).scalar() or 0) + 1)
    await session.execute(
        insert(feature_versions).values(
            tenant_id=TENANT,
            feature=feature.key,
            version=feature.version,
            effective_from=since,
            kind=feature.kind,
            combine=feature.combine,
            fallback=int(feature.fallback),
            author=author,
        )
    )
    return feature


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
    """Raises `NotFound`; `Conflict` while plans grant it, or overrides are about it."""
    now = await locks.change_catalogue(await session.twin())
    await _require_unused(session, key, None, "It cannot go", now)
    gone = await session.execute(delete(features).where(_own(key)).returning(features.c.key))
    if gone.one_or_none() is None:
        raise NotFound(f"There is no feature {key!r}.", "key")
    await announce_all(session)


async def meant_at(session: TenantSession, at: datetime) -> list[Feature]:
    """The tenant's present features by key, each as it was meant at the moment; before its first version, as now."""
    table = feature_versions.c
    newest = (
        select(table.feature, table.kind, table.combine, table.fallback, table.version)
        .where(table.tenant_id == TENANT)
        .ext(distinct_on(table.feature))
        .order_by(table.feature, (func.coalesce(table.effective_from, at) <= at).desc(), table.version.desc())
    )
    meant = {row.feature: row for row in await session.execute(newest)}
    found = await session.execute(select(*_COLUMNS).where(features.c.tenant_id == TENANT).order_by(features.c.key))
    return [
        msgspec.structs.replace(each, **{name: getattr(meant[each.key], name) for name in (*_MEANING, "version")})
        for each in map(_feature, found)
        if each.key in meant
    ]


def _validate(feature: Feature) -> None:
    values.key(feature.key)
    if feature.key in _RESERVED:
        raise Invalid(f"{feature.key!r} stands for something else in URLs.", "key")
    values.text(feature.name, "name", 200)
    values.text(feature.unit, "unit", 40)
    values.text(feature.description, "description", 2000, lines=True)
    if feature.kind not in get_args(Kind):
        raise Invalid("A feature is a flag, a limit or a quantity.", "kind")
    if feature.kind == "flag" and feature.unit is not None:
        raise Invalid("A flag counts nothing.", "unit")
    rules = RULES[feature.kind]
    if feature.combine not in (None, *rules):
        raise Invalid(f"Grants of a {feature.kind} combine by {' or '.join(rules)}.", "combine")
    flag = feature.kind == "flag"
    if flag and feature.fallback not in (0, 1):
        raise Invalid("A flag falls back to true or false.", "fallback")
    if not flag and ((type(feature.fallback) is bool and feature.fallback) or not 0 <= feature.fallback <= LARGEST):
        raise Invalid(f"A {feature.kind} falls back to a whole number up to {LARGEST}.", "fallback")


async def _require_unused(session: TenantSession, key: str, param: str | None, what: str, now: datetime) -> None:
    if plans := await selling(session, key, now):
        raise Conflict(f"{what}: {_named(plans)} it.", param)
    if (count := await overriding(session, key)) > 0:
        raise Conflict(f"{what}: overrides of {count} customers are about it.", param)


def _named(plans: list[str]) -> str:
    """`plan 'a' grants`, `plans 'a', 'b', 'c', … grant`."""
    shown = ", ".join([*(repr(plan) for plan in plans[:3]), *("…" for _ in plans[3:])])
    return f"plan {shown} grants" if len(plans) == 1 else f"plans {shown} grant"


def _feature(row: Any) -> Feature:
    found = Feature(**row._mapping)
    return msgspec.structs.replace(found, fallback=bool(found.fallback)) if found.kind == "flag" else found

"""Overrides: what was decided for one customer by hand. One that is revoked stays, with its end."""

import hashlib
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants import customers, locks, values
from colonnade_tenants.entitlements.model import Effect, Kind
from colonnade_tenants.entitlements.store import recompute
from colonnade_tenants.entitlements.worth import check_value
from colonnade_tenants.errors import Conflict, Invalid, NotFound
from colonnade_tenants.ids import new_id
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import entitlement_overrides, features
from colonnade_tenants.times import Moment, require_moment

MOST = 100
"""Overrides of one customer that may hold at once."""


class NewOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """*grant* counts as one grant more, *set* instead of all grants, *deny* against everything.

    *value*: none for a denial; true for a flag, which may be set to false as well; a number, or null for no limit.
    *author* is whoever decided it, *reason* why; *ends_at* is exclusive.
    """

    feature: str
    effect: Effect
    reason: str
    author: str
    value: bool | int | UnsetType | None = UNSET
    ends_at: Moment | None = None


class Override(msgspec.Struct, frozen=True):
    """An override; *author_key* and *revoked_by* are keys or people, null where the reader is not told."""

    id: str
    feature: str
    effect: Effect
    value: bool | int | None
    reason: str
    author: str
    author_key: str | None
    starts_at: datetime
    ends_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    state: Literal["active", "ended", "revoked"]


_TABLE = entitlement_overrides.c
_OWN = _TABLE.tenant_id == TENANT
_STATE: Any = literal_column(
    "case when revoked_at is not null then 'revoked' when ends_at <= now() then 'ended' else 'active' end"
).label("state")
_COLUMNS = [*(_TABLE[name] for name in Override.__struct_fields__ if name != "state"), _TABLE.kind, _STATE]


async def add(
    session: TenantSession,
    customer_id: int,
    new: NewOverride,
    *,
    author_key: str | None = None,
    idempotency_key: str | None = None,
) -> Override:
    """Decide something for a customer, from now on. The same *idempotency_key* does it once.

    Raises `Invalid`; `Conflict` if the key came with another request, or the customer has `MOST` already.
    """
    values.text(new.reason, "reason", 500, lines=True)
    values.text(new.author, "author", 200)
    tenant = await session.twin()
    await locks.read_catalogue(tenant)
    await customers.lock(tenant, customer_id)
    fingerprint = hashlib.sha256(msgspec.json.encode([customer_id, new])).digest()
    if idempotency_key is not None and (known := await _repeated(session, idempotency_key, fingerprint)):
        return known
    kind, value = await _meant(session, new)
    await _require_room(session, customer_id)
    override_id = new_id("ovr")
    fields = {name: getattr(new, name) for name in ("feature", "effect", "reason", "author", "ends_at")}
    added = insert(entitlement_overrides).values(
        **fields,
        tenant_id=TENANT,
        id=override_id,
        customer_id=customer_id,
        kind=kind,
        value=value,
        author_key=author_key,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
    )
    added = added.on_conflict_do_nothing(index_elements=["tenant_id", "idempotency_key"])
    if (await session.execute(added.returning(_TABLE.id))).one_or_none() is None:
        raise Conflict("This key came with another request before.", "Idempotency-Key")
    await recompute(tenant, customer_id, f"override:{override_id}")
    return await get(session, customer_id, override_id)


async def get(session: TenantSession, customer_id: int, override_id: str) -> Override:
    """Raises `NotFound`."""
    found = await _list(session, _TABLE.customer_id == customer_id, _TABLE.id == override_id)
    if not found:
        raise NotFound("This customer has no such override.", "override")
    return found[0]


async def list_page(session: TenantSession, customer_id: int, after: str | None, limit: int) -> list[Override]:
    """At most *limit* overrides of the customer, the oldest first, from the one after the id *after*."""
    return await _list(session, _TABLE.customer_id == customer_id, _TABLE.id > values.after(after), limit=limit)


async def revoke(session: TenantSession, customer_id: int, override_id: str, revoked_by: str | None = None) -> None:
    """End an override now; one that has ended stays as it is. Raises `NotFound`."""
    tenant = await session.twin()
    await locks.read_catalogue(tenant)
    await customers.lock(tenant, customer_id)
    found = await get(session, customer_id, override_id)
    if found.state != "active":
        return
    await session.execute(
        update(entitlement_overrides)
        .where(_OWN, _TABLE.id == override_id)
        .values(revoked_at=func.clock_timestamp(), revoked_by=revoked_by)
    )
    await recompute(tenant, customer_id, f"override:{override_id}")


async def _list(session: TenantSession, *where: ColumnElement[bool], limit: int | None = None) -> list[Override]:
    found = await session.execute(select(*_COLUMNS).where(_OWN, *where).order_by(_TABLE.id).limit(limit))
    return [_override(row) for row in found.mappings()]


def _override(row: Any) -> Override:
    fields = {name: row[name] for name in Override.__struct_fields__}
    return Override(**fields | ({"value": bool(row["value"])} if row["kind"] == "flag" else {}))


async def _repeated(session: TenantSession, key: str, fingerprint: bytes) -> Override | None:
    asked = select(_TABLE.customer_id, _TABLE.id, _TABLE.fingerprint).where(_OWN, _TABLE.idempotency_key == key)
    row = (await session.execute(asked)).one_or_none()
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise Conflict("This key came with another request before.", "Idempotency-Key")
    return await get(session, row.customer_id, row.id)


async def _meant(session: TenantSession, new: NewOverride) -> tuple[Kind, int | None]:
    """The feature's kind, and the value as rows have it."""
    now = (await session.execute(select(func.now(), features.c.kind).where(*_of(new.feature)))).one_or_none()
    if now is None:
        raise Invalid(f"There is no feature {new.feature!r}.", "feature")
    kind: Kind = now.kind
    if new.ends_at is not None and require_moment(new.ends_at, "ends_at") <= now[0]:
        raise Invalid("It would have ended before it began.", "ends_at")
    if new.effect == "deny":
        if new.value is not UNSET:
            raise Invalid("A denial has no value.", "value")
        return kind, 0
    value = True if new.value is UNSET and kind == "flag" else new.value
    if value is UNSET:
        raise Invalid(f"Say what {kind} is meant.", "value")
    if not (new.effect == "set" and kind == "flag" and value is False):
        check_value(value, kind, "value")
    return kind, int(value) if value is not None else None


def _of(feature: str) -> tuple[ColumnElement[bool], ...]:
    return features.c.tenant_id == TENANT, features.c.key == feature


async def _require_room(session: TenantSession, customer_id: int) -> None:
    holding = _TABLE.revoked_at.is_(None) & or_(_TABLE.ends_at.is_(None), _TABLE.ends_at > func.now())
    count = select(func.count()).select_from(entitlement_overrides).where(_OWN, _TABLE.customer_id == customer_id)
    if ((await session.execute(count.where(holding))).scalar() or 0) >= MOST:
        raise Conflict(f"This customer has {MOST} overrides; revoke one first.", "feature")

"""The keys of one owner, a tenant or the platform team: making, listing, rotating, revoking."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg
import msgspec
from msgspec import Struct

from colonnade.access import audit, keys
from colonnade.access.guard import Tenant
from colonnade.errors import Conflict, Invalid, NotFound
from colonnade.services import Services
from colonnade_tenants import values
from colonnade_tenants.times import END, require_moment

_COLUMNS = "public_id as id, name, scopes, prefix, created_at, expires_at, revoked_at, last_used_at, followed_by"
_GIVEN = "Idempotency-Key"
_LOGGED = ("name", "scopes", "expires_at", "revoked_at")
_OWNER = {True: "tenant_id = $1", False: "tenant_id is null and $1::bigint is null"}
_SHORTEN = f"""
update api_keys set expires_at = least(expires_at, now() + make_interval(secs => $2)), followed_by = $3
where public_id = $1 returning {_COLUMNS}
"""  # noqa: S608 - our own column names


class KeyRow(Struct, kw_only=True):
    """A key, without itself. *prefix*: its first letters. *last_used_at*: to the minute. *followed_by*: by rotation."""

    id: str
    name: str
    scopes: list[str]
    prefix: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    followed_by: str | None


class Made(NamedTuple):
    """A key just made, and the row that is kept of it."""

    secret: str
    row: KeyRow


class Owner(NamedTuple):
    """Whose keys: the platform team's where there is no tenant. *path*: of the list of its keys, below `/v1/`."""

    tenant_id: int | None
    kind: str
    path: str

    @classmethod
    def of(cls, tenant: Tenant | None) -> "Owner":
        """The tenant, or the platform team."""
        if tenant is None:
            return cls(None, "platform", "keys")
        return cls(tenant.id, "tenant", f"tenants/{tenant.public_id}/keys")

    @property
    def condition(self) -> str:
        """Of its rows; `$1` is its `tenant_id`."""
        return _OWNER[self.tenant_id is not None]

    async def secret(
        self, connection: asyncpg.Connection, services: Services, idempotency_key: str | None, purpose: str = ""
    ) -> str:
        """A fresh key; the same one where the request is repeated."""
        if idempotency_key is None:
            return keys.random_key(self.kind)
        purpose = f"{self.path}\0{purpose}\0{idempotency_key}"
        return await keys.derived_key(connection, self.kind, services.secret_key, purpose)


def future(expires_at: datetime | None) -> datetime | None:
    """Raises `Invalid` for a time that is past, or out of bounds."""
    if expires_at is not None and require_moment(expires_at, "expires_at") <= datetime.now(UTC):
        raise Invalid("This is not in the future.", "expires_at")
    return expires_at


async def create(
    services: Services,
    owner: Owner,
    name: str,
    scopes: list[str],
    expires_at: datetime | None,
    idempotency_key: str | None,
) -> Made:
    """A new key. Raises `Invalid`; `Conflict` if the Idempotency-Key came with another request, or its key is over."""
    values.text(name, "name", 100)
    future(expires_at)
    async with services.database.platform_connection() as connection:
        secret = await owner.secret(connection, services, idempotency_key)
        made = await keys.store(connection, secret, name, owner.tenant_id, scopes, expires_at)
        row = await _get(connection, owner, made.id)
        if made.fresh:
            audit.note(target=f"{owner.path}/{row.id}", after=audit.named(row, *_LOGGED))
        else:
            _require_same(row, name, scopes, expires_at)
            audit.nothing_done()
    return Made(secret, row)


def _require_same(row: KeyRow, name: str, scopes: list[str], expires_at: datetime | None) -> None:
    """Raises `Conflict` where *row*, which this Idempotency-Key made before, is no answer to the request."""
    if (row.name, row.scopes) == (name, scopes) and row.followed_by is not None:
        raise Conflict(f"The key that this made, {row.id}, was rotated: {row.followed_by} follows it.", _GIVEN)
    if (row.name, row.scopes) == (name, scopes) and row.revoked_at is not None:
        raise Conflict(f"The key that this made, {row.id}, was revoked.", _GIVEN)
    if (row.name, row.scopes, row.expires_at) != (name, scopes, expires_at):
        raise Conflict("This Idempotency-Key came with another request before.", _GIVEN)


async def page(services: Services, owner: Owner, after: str | None, limit: int) -> list[KeyRow]:
    """At most *limit*, oldest first, after the one with the id *after*."""
    found = f"""
    select {_COLUMNS} from api_keys where {owner.condition} and public_id > $2 order by public_id limit $3
    """  # noqa: S608 - our own column names
    rows = await services.database.platform_pool.fetch(found, owner.tenant_id, values.after(after), limit)
    return [_row(row) for row in rows]


async def rotate(
    services: Services, owner: Owner, key: str, overlap: int, expires_at: datetime | None, idempotency_key: str | None
) -> Made:
    """A new key that may do the same; the old one goes on for *overlap* seconds, if it had so long.

    A key that expires is followed by one that lasts as long, unless *expires_at* is given. A repeated request answers
    the same, even when the old key is over by then. Raises `NotFound`, `Invalid`, and `Conflict` for a key that is over
    already, or is followed by one: two that follow it would be one that nobody knows of.
    """
    future(expires_at)
    async with services.database.platform_connection() as connection:
        secret = await owner.secret(connection, services, idempotency_key, f"rotate {key}")
        old = await _get(connection, owner, key)
        repeated = await connection.fetchval("select public_id from api_keys where digest = $1", keys.digest(secret))
        if repeated is not None:
            audit.nothing_done()
            return Made(secret, await _get(connection, owner, repeated))
        if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= datetime.now(UTC)):
            raise Conflict("This key is revoked or expired: make a new one.", "key")
        if old.followed_by is not None:
            raise Conflict(f"{old.followed_by} follows this key already: rotate that one.", "key")
        lasts = expires_at or _as_long(old)
        made = await keys.store(connection, secret, old.name, owner.tenant_id, old.scopes, lasts)
        shortened = _row(await connection.fetchrow(_SHORTEN, key, float(overlap), made.id))
        new = await _get(connection, owner, made.id)
        after = {"expires_at": shortened.expires_at, "new_key": new.id}
        audit.note(target=f"{owner.path}/{key}", before=audit.named(old, *_LOGGED), after=after)
    return Made(secret, new)


def _as_long(old: KeyRow) -> datetime | None:
    lasted: timedelta | None = None if old.expires_at is None else old.expires_at - old.created_at
    return None if lasted is None else min(datetime.now(UTC) + lasted, END - timedelta(seconds=1))


async def revoke(services: Services, owner: Owner, key: str) -> None:
    """Take the key back; again is harmless. Raises `NotFound`."""
    revoked = f"""
    update api_keys set revoked_at = coalesce(revoked_at, now()) where {owner.condition} and public_id = $2
    returning {_COLUMNS}
    """  # noqa: S608 - our own column names
    async with services.database.platform_connection() as connection:
        old = await _get(connection, owner, key)
        new = _row(await connection.fetchrow(revoked, owner.tenant_id, key))
        audit.note(before=audit.named(old, *_LOGGED), after=audit.named(new, *_LOGGED))


async def _get(connection: asyncpg.Connection, owner: Owner, key: str) -> KeyRow:
    found = f"select {_COLUMNS} from api_keys where {owner.condition} and public_id = $2 for update"  # noqa: S608
    # PostgreSQL would refuse some unprintable characters, and no id has any.
    row = await connection.fetchrow(found, owner.tenant_id, key) if key.isprintable() else None
    if row is None:
        raise NotFound(f"There is no key {key!r}.", "key")
    return _row(row)


def _row(row: asyncpg.Record) -> KeyRow:
    return msgspec.convert(dict(row), KeyRow)

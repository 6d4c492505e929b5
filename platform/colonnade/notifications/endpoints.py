"""A tenant's notification endpoints: where they are, what they want, and the secrets that sign."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from colonnade.database.tables import notification_endpoints
from colonnade.errors import Conflict, Invalid, NotFound
from colonnade.notifications.addresses import is_allowed, parse
from colonnade.notifications.secrets import KEPT, Sealed, Vault, active, new_secret, rolled
from colonnade.web import origin
from colonnade_tenants import values
from colonnade_tenants.ids import new_id
from colonnade_tenants.notifications import queue
from colonnade_tenants.notifications.payloads import ON_REQUEST, TYPES
from colonnade_tenants.partition import TENANT, TenantSession

MOST = 20
"""Endpoints of one tenant."""
SUBSCRIBABLE = [name for name in TYPES if name != ON_REQUEST]


class Endpoint(Struct, frozen=True):
    """Where notifications go. No *types*: all. *disabled_reason* is null where the tenant disabled it itself.

    *failing_since*: the first of the tries that failed without a success since; null: it does well.
    """

    id: str
    url: str
    description: str | None
    types: list[str]
    state: Literal["enabled", "disabled"]
    disabled_reason: str | None
    failing_since: datetime | None
    created_at: datetime
    updated_at: datetime


class Stored(Struct, frozen=True):
    """An endpoint, its internal id, its secrets, and the database's clock."""

    id: int
    shown: Endpoint
    secrets: list[Sealed]
    now: datetime


_SHOWN = [name for name in Endpoint.__struct_fields__ if name != "id"]
_COLUMNS = [
    notification_endpoints.c.id,
    notification_endpoints.c.public_id,
    notification_endpoints.c.secrets,
    func.now().label("now"),
    *(notification_endpoints.c[name] for name in _SHOWN),
]
_OWN = notification_endpoints.c.tenant_id == TENANT


def check_url(url: str, *, loopback: bool) -> None:
    """Refuse what is not an https URL of a public host, as far as the URL itself tells. Raises `Invalid`.

    What the host's name stands for is checked at each delivery. *loopback*: this machine is allowed, and http there.
    """
    values.text(url, "url", 2000)
    scheme, _, host = origin(url, "url").partition("://")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    local = name == "localhost" or (parse(name) is not None and not is_allowed(name.strip("[]"), loopback=False))
    permitted = loopback and (name == "localhost" or is_allowed(name.strip("[]"), loopback=True))
    if local and not permitted:
        raise Invalid("Notifications are sent to public addresses only.", "url")
    if scheme != "https" and not permitted:
        raise Invalid("Only https is accepted.", "url")
    if "#" in url:
        raise Invalid("A fragment is never sent: leave it out.", "url")


def check_types(types: Sequence[str]) -> None:
    """Refuse a type that there is not. Raises `Invalid`."""
    for place, name in enumerate(types):
        if name not in SUBSCRIBABLE:
            raise Invalid(f"One of {', '.join(SUBSCRIBABLE)}.", f"types[{place}]")


async def create(
    session: TenantSession, vault: Vault, fields: dict[str, Any], idempotency_key: str | None
) -> tuple[Endpoint, str]:
    """A new endpoint, or the one that the same request made before, and its secret. Raises `Conflict`."""
    secret = new_secret()
    new = insert(notification_endpoints).values(
        **fields,
        tenant_id=TENANT,
        public_id=new_id("nep"),
        secrets=msgspec.to_builtins([vault.seal(secret)]),
        idempotency_key=idempotency_key,
    )
    repeated = new.on_conflict_do_nothing(index_elements=["tenant_id", "idempotency_key"])
    made = (await session.execute(repeated.returning(*_COLUMNS))).one_or_none()
    if made is None:
        found = await session.execute(
            select(*_COLUMNS).where(_OWN, notification_endpoints.c.idempotency_key == idempotency_key)
        )
        stored = _stored(found.one())
        if any(getattr(stored.shown, name) != value for name, value in fields.items()):
            raise Conflict("This Idempotency-Key made another endpoint.", "Idempotency-Key")
        return stored.shown, vault.open(stored.secrets[0])
    count = await session.scalar(select(func.count()).select_from(notification_endpoints).where(_OWN))
    if count > MOST:
        raise Conflict(f"A tenant has at most {MOST} notification endpoints.")
    return _stored(made).shown, secret


async def page(session: TenantSession, after: str | None, limit: int) -> list[Endpoint]:
    """At most *limit*, the oldest first, from the one after *after*."""
    found = await session.execute(
        select(*_COLUMNS)
        .where(_OWN, notification_endpoints.c.public_id > values.after(after))
        .order_by(notification_endpoints.c.public_id)
        .limit(limit)
    )
    return [_stored(row).shown for row in found]


async def get(session: TenantSession, public_id: str, *, lock: bool = False) -> Stored:
    """The tenant's endpoint with this id; *lock*: until the transaction ends. Raises `NotFound`."""
    wanted = select(*_COLUMNS).where(_OWN, notification_endpoints.c.public_id == public_id)
    if public_id.isprintable():
        row = (await session.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
        if row is not None:
            return _stored(row)
    raise NotFound("There is no such notification endpoint.", "endpoint")


async def change(session: TenantSession, endpoint: Stored, fields: dict[str, Any]) -> Endpoint:
    """Set *fields* of a locked endpoint. Enabling forgets its failures; what waited goes out again."""
    fresh: dict[str, Any] = {}
    if fields.get("state") == "enabled" and endpoint.shown.state == "disabled":
        fresh = {"failures": 0, "failing_since": None, "paused_until": None, "disabled_reason": None}
        fresh["due_at"] = func.now()
        await queue.release(await session.twin(), endpoint.id)
    changed = await session.execute(
        update(notification_endpoints)
        .where(_OWN, notification_endpoints.c.id == endpoint.id)
        .values(**fields, **fresh, updated_at=func.now())
        .returning(*_COLUMNS)
    )
    return _stored(changed.one()).shown


async def roll(session: TenantSession, vault: Vault, endpoint: Stored, overlap: timedelta) -> tuple[str, datetime]:
    """A new secret for a locked endpoint; it and when the older ones end. Raises `Conflict`."""
    if len(active(endpoint.secrets, endpoint.now)) >= KEPT:
        raise Conflict(f"{KEPT} secrets sign already: wait until the older ones have expired.")
    secret = new_secret()
    secrets = rolled(endpoint.secrets, vault.seal(secret), endpoint.now, overlap)
    await change(session, endpoint, {"secrets": msgspec.to_builtins(secrets)})
    return secret, endpoint.now + overlap


async def remove(session: TenantSession, endpoint: Stored) -> None:
    """Delete a locked endpoint, with what waits for it and its log."""
    await queue.forget(await session.twin(), endpoint.id)
    await session.execute(delete(notification_endpoints).where(_OWN, notification_endpoints.c.id == endpoint.id))


async def wake(session: TenantSession, endpoint: Stored) -> None:
    """Let the worker look at a locked endpoint."""
    await session.execute(
        update(notification_endpoints).where(_OWN, notification_endpoints.c.id == endpoint.id).values(due_at=func.now())
    )


def _stored(row: Any) -> Stored:
    shown = Endpoint(row.public_id, *(getattr(row, name) for name in _SHOWN))
    return Stored(row.id, shown, msgspec.convert(row.secrets, list[Sealed]), row.now)

"""Whose deliveries go next. A claim commits before anything is sent: no connection waits for anybody's server."""

from collections.abc import Mapping
from datetime import datetime

import asyncpg
import msgspec

from colonnade.notifications.health import Health, after, pause
from colonnade.notifications.secrets import Sealed
from colonnade_tenants.notifications import notes, queue, record
from colonnade_tenants.notifications.queue import Attempt, Claimed
from colonnade_tenants.partition import TenantConnection

ENDPOINTS = 50
"""Claimed for in one round."""

# Each tenant's endpoint that waits longest comes before any tenant's second one.
_DUE = f"""
select id, tenant_id, failures from (
    select id, tenant_id, failures, due_at, row_number() over (partition by tenant_id order by due_at) as turn
    from notification_endpoints
    where state = 'enabled' and due_at <= now() and coalesce(paused_until <= now(), true)
        and id <> all ($1) and tenant_id <> all ($2)
) due order by turn, due_at limit {ENDPOINTS}
"""  # noqa: S608 - only our own number is put in
_LOCK_DUE = """
select public_id, url, secrets::text, paused_until, now() as now from notification_endpoints
where id = $1 and state = 'enabled' and due_at <= now() and coalesce(paused_until <= now(), true)
for update skip locked
"""
_LOOK_AGAIN = "update notification_endpoints set due_at = $2 where id = $1"
_LOCK = """
select public_id, url, failures, failing_since, paused_until, now() as now from notification_endpoints
where id = $1 for update
"""
_NOTE = """
update notification_endpoints set failures = $2, failing_since = $3, paused_until = $4, due_at = $5,
    state = case when $6::text is null then state else 'disabled' end, disabled_reason = coalesce($6, disabled_reason)
where id = $1
"""


class Due(msgspec.Struct, frozen=True):
    """An endpoint whose turn it is."""

    id: int
    tenant_id: int
    failures: int


class Job(msgspec.Struct, frozen=True):
    """A claimed delivery and where it goes; *secrets* newest first, expired ones too."""

    endpoint: Due
    url: str
    secrets: list[Sealed]
    delivery: Claimed


async def due(pool: asyncpg.Pool, *, but: list[int], but_of: list[int]) -> list[Due]:
    """Endpoints for which something is due, tenants taking turns; none of *but*, nor of the tenants *but_of*."""
    return [Due(*row) for row in await pool.fetch(_DUE, but, but_of)]


async def claim(pool: asyncpg.Pool, endpoint: Due, limit: int) -> list[Job]:
    """At most *limit* deliveries to the endpoint. None while another worker is at it."""
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(_LOCK_DUE, endpoint.id)
        if row is None:
            return []
        tenant = await TenantConnection.bind(connection, endpoint.tenant_id)
        claimed = await queue.claim(tenant, endpoint.id, limit)
        await connection.execute(_LOOK_AGAIN, endpoint.id, await queue.next_due(tenant, endpoint.id))
    secrets = msgspec.json.decode(row["secrets"], type=list[Sealed])
    return [Job(endpoint, row["url"], secrets, delivery) for delivery in claimed]


async def settle(pool: asyncpg.Pool, job: Job, attempt: Attempt) -> None:
    """Note what came of a try, and how the endpoint does now. One that was deleted meanwhile is left alone."""
    endpoint = job.endpoint.id
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(_LOCK, endpoint)
        if row is None:
            return
        tenant = await TenantConnection.bind(connection, job.endpoint.tenant_id)
        wait = None if attempt.error is None else pause(job.delivery.attempts, attempt.retry_after)
        await queue.settle(tenant, endpoint, job.delivery, attempt, wait)
        health = _health(row, attempt)
        if row["paused_until"] is not None and health.paused_until is None:
            await queue.release(tenant, endpoint)
        if health.given_up is not None:
            await record(tenant, [notes.endpoint_disabled(row["public_id"], row["url"], health.given_up)])
        look_again = _later(await queue.next_due(tenant, endpoint), health.paused_until)
        known = health.failures, health.failing_since, health.paused_until
        await connection.execute(_NOTE, endpoint, *known, look_again, health.given_up)


def _health(row: Mapping[str, object], attempt: Attempt) -> Health:
    known = msgspec.convert(
        {name: row[name] for name in ("failures", "failing_since", "paused_until")}, Health, strict=False
    )
    now = msgspec.convert(row["now"], datetime)
    return after(known, attempt, now)


def _later(due_at: datetime | None, paused_until: datetime | None) -> datetime | None:
    return max(due_at, paused_until) if due_at and paused_until else due_at

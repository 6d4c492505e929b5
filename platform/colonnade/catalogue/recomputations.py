"""What a change of plans, features or policy still has to reach: a row that workers carry on, batch after batch.

A batch and the row's new position commit together, so that a worker may be killed at any moment. Running ones take
turns: a large tenant's does not hold up the others'.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Literal

import asyncpg
import msgspec
import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from colonnade.database.connections import LOST, create_pool
from colonnade.database.roles import Duty
from colonnade.database.tables import recomputations
from colonnade.errors import NotFound
from colonnade_tenants.catalogue import BATCH, Rest, Scope, recompute_batch
from colonnade_tenants.ids import new_id
from colonnade_tenants.partition import TENANT, TenantConnection, TenantSession

log = structlog.get_logger()

POLL = 1.0
"""Seconds between looks for work when there was none."""
LONGEST_PAUSE = 300
"""Seconds between tries of a batch that keeps failing, at most."""

# A tenant that is coming back has part of its held events applied: what it has to wait for is computed at the end.
_CLAIM = """
select id, tenant_id, cause, scope::text as scope, position, failures from recomputations r
where state = 'running' and not_before <= now()
    and not exists (select from tenants t where t.id = r.tenant_id and t.coming_back)
order by not_before, id limit 1 for update skip locked
"""
_ADVANCE = """
update recomputations set position = $2, done = done + $3, failures = 0, problem = null,
    not_before = clock_timestamp(), state = case when $4 then 'done' else 'running' end,
    finished_at = case when $4 then clock_timestamp() end
where id = $1
"""
_FAILED = """
update recomputations set failures = failures + 1, problem = $2, not_before = clock_timestamp() + $3 where id = $1
"""


class Recomputation(msgspec.Struct, frozen=True):
    """A change on its way: *done* of *total* customers have their entitlements by it.

    Until it is done, the others keep what they had. *problem* says why the last batch failed; it is tried again.
    """

    id: str
    cause: str
    state: Literal["running", "done"]
    done: int
    total: int
    problem: str | None
    created_at: datetime
    finished_at: datetime | None


_COLUMNS = [recomputations.c.public_id.label("id")] + [
    recomputations.c[name] for name in Recomputation.__struct_fields__ if name != "id"
]


async def schedule(session: TenantSession, rest: Rest | None) -> str | None:
    """Leave the rest of a change to the workers, in the transaction of the change; its id, None if nothing is left."""
    if rest is None:
        return None
    public_id = new_id("rec")
    await session.execute(
        insert(recomputations).values(
            tenant_id=TENANT,
            public_id=public_id,
            cause=rest.cause,
            scope=msgspec.to_builtins(rest.scope),
            position=rest.position,
            done=rest.done,
            total=rest.total,
        )
    )
    return public_id


async def get(session: TenantSession, public_id: str) -> Recomputation:
    """Raises `NotFound`."""
    own = recomputations.c.tenant_id == TENANT, recomputations.c.public_id == public_id
    row = (await session.execute(select(*_COLUMNS).where(*own))).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such recomputation.", "recomputation")
    return Recomputation(**row)


async def list_page(session: TenantSession, after: str | None, limit: int) -> list[Recomputation]:
    """At most *limit*, the newest first, from the one before the id *after*."""
    found = select(*_COLUMNS).where(recomputations.c.tenant_id == TENANT)
    if after is not None:
        found = found.where(recomputations.c.public_id < after)
    rows = await session.execute(found.order_by(recomputations.c.public_id.desc()).limit(limit))
    return [Recomputation(**row) for row in rows.mappings()]


async def advance(pool: asyncpg.Pool) -> bool:
    """Do one batch of what waits longest; whether there was anything to do."""
    async with pool.acquire() as connection, connection.transaction():
        job = await connection.fetchrow(_CLAIM)
        if job is None:
            return False
        try:
            async with connection.transaction():
                tenant = await TenantConnection.bind(connection, job["tenant_id"])
                scope = msgspec.json.decode(job["scope"], type=Scope)
                done = await recompute_batch(tenant, scope, job["cause"], after=job["position"])
        except Exception as error:
            if connection.is_closed():  # the database's doing; nothing of the batch was committed
                raise
            await _failed(connection, job, error)
        else:
            position = done[-1] if done else job["position"]
            await connection.execute(_ADVANCE, job["id"], position, len(done), len(done) < BATCH)
    return True


async def _failed(connection: asyncpg.Connection, job: Any, error: Exception) -> None:
    log.error("recomputation failed", recomputation=job["id"], exc_info=error)
    pause = timedelta(seconds=min(2 ** job["failures"], LONGEST_PAUSE))
    await connection.execute(_FAILED, job["id"], f"{type(error).__name__}: {error}"[:500], pause)


async def recompute_periodically(database_url: str) -> None:
    """Carry on what is running, for as long as the worker runs."""
    while True:
        try:
            async with await create_pool(database_url, Duty.WORKER, size=1) as pool:
                while True:
                    if not await advance(pool):
                        await asyncio.sleep(POLL)
        except LOST as error:
            log.warning("recomputations wait", error=type(error).__name__)
        await asyncio.sleep(POLL)

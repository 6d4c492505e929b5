"""Noting what ends by the clock: each tenant has a clock, and whichever worker finds one that is behind brings it on.

A tenant's statements are its own, so that this costs one small query for each tenant and period.
"""

import asyncio

import asyncpg
import structlog

from colonnade.database.connections import LOST, create_pool
from colonnade.database.roles import Duty
from colonnade_tenants.entitlements.clock import note_ends
from colonnade_tenants.partition import TenantConnection

log = structlog.get_logger()

PERIOD = 30.0
"""Seconds by which a tenant's clock may be behind."""
TENANTS = 50
"""Clocks that one transaction brings on."""

_NEW = """
insert into entitlement_clocks (tenant_id, noted_until)
select id, now() from tenants t
where removal is null and not exists (select from entitlement_clocks where tenant_id = t.id)
on conflict do nothing
"""
_BEHIND = """
select tenant_id, noted_until, now() as now from entitlement_clocks
where noted_until < now() - make_interval(secs => $1)
order by noted_until limit $2 for update skip locked
"""
_ADVANCE = "update entitlement_clocks set noted_until = $2 where tenant_id = $1"


async def tick(pool: asyncpg.Pool, period: float = PERIOD) -> int:
    """Bring on some clocks that are behind; how many. What one transaction does not manage, the next does."""
    async with pool.acquire() as connection, connection.transaction():
        behind = await connection.fetch(_BEHIND, period, TENANTS)
        for tenant_id, noted_until, now in behind:
            tenant = await TenantConnection.bind(connection, tenant_id)
            if await note_ends(tenant, noted_until, now):
                await connection.execute(_ADVANCE, tenant_id, now)
    return len(behind)


async def note_periodically(database_url: str) -> None:
    """Keep the clocks going, for as long as the worker runs."""
    while True:
        try:
            async with await create_pool(database_url, Duty.WORKER, size=1) as pool:
                while True:
                    await pool.execute(_NEW)
                    while await tick(pool):
                        pass
                    await asyncio.sleep(PERIOD)
        except LOST as error:
            log.warning("clocks wait", error=type(error).__name__)
        await asyncio.sleep(1)

"""Publishing what transactions left to publish: each wake's tenant in a transaction of its own, as that tenant."""

import asyncpg
import structlog

from colonnade_tenants.notifications import publishing
from colonnade_tenants.partition import TenantConnection

log = structlog.get_logger()

TENANTS = 50
"""In one round."""

_WAITING = f"select distinct tenant_id from notification_wakes order by 1 limit {TENANTS}"  # noqa: S608 - our own number
_TAKE = """
delete from notification_wakes where id = any (array(
    select id from notification_wakes where tenant_id = $1 for update skip locked
))
"""
_ENDPOINTS = """
select coalesce(json_agg(json_build_object('id', id, 'types', types)), '[]')::text
from notification_endpoints where tenant_id = $1 and state = 'enabled'
"""
_DUE = """
update notification_endpoints set due_at = least(coalesce(due_at, now()), now()) where tenant_id = $1 and id = any ($2)
"""


async def publish_waiting(pool: asyncpg.Pool) -> int:
    """Publish for some tenants; how many notifications that were. Raises what connecting raises."""
    tenants = await pool.fetch(_WAITING)
    published = 0
    for row in tenants:
        try:
            published += await _publish(pool, row["tenant_id"])
        except asyncpg.PostgresError as error:  # one tenant's trouble; the others go on
            log.error("not published", tenant=row["tenant_id"], error=type(error).__name__)
    return published


async def _publish(pool: asyncpg.Pool, tenant_id: int) -> int:
    """Each batch commits by itself; the wakes go with the last."""
    published, full = 0, True
    while full:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_TAKE, tenant_id)
            tenant = await TenantConnection.bind(connection, tenant_id)
            endpoints = await connection.fetchval(_ENDPOINTS, tenant_id)
            count, wanted = await publishing.publish(tenant, endpoints)
            await connection.execute(_DUE, tenant_id, wanted)
            full = count == publishing.BATCH
            if full:  # a crash between two batches must find the rest
                await connection.execute("insert into notification_wakes (tenant_id) values ($1)", tenant_id)
        published += count
    return published

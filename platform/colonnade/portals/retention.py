"""Deleting visits of the portal, in small batches, once they are too old to be asked about.

They tell who was let in and what they changed. None goes while its customer may still come back: settings allow no less
than a week.
"""

from datetime import timedelta

import asyncpg
import structlog

from colonnade.database.roles import Duty
from colonnade.pruning import Pruning
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.portal import visits

log = structlog.get_logger()

BATCH = 1000
PERIOD = 6 * 3600.0
"""Seconds between runs in the worker."""


async def prune(connection: asyncpg.Connection, days: int, *, batch: int = BATCH) -> int:
    """Delete what is older than *days*, whatever becomes of another tenant's; how many visits were.

    Raises what the database raises once *connection* is closed.
    """
    deleted = 0
    for (tenant_id,) in await connection.fetch("select id from tenants order by id"):
        try:
            deleted += await _prune(connection, tenant_id, timedelta(days=days), batch)
        except Exception as error:
            if connection.is_closed():
                raise
            log.error("a tenant's old rows not deleted", tenant=tenant_id, exc_info=error)
    return deleted


async def _prune(connection: asyncpg.Connection, tenant_id: int, age: timedelta, batch: int) -> int:
    deleted = 0
    while True:
        async with connection.transaction():
            count = await visits.forget(await TenantConnection.bind(connection, tenant_id), age, batch)
        deleted += count
        if count < batch:
            return deleted


VISITS = Pruning("portal visits", Duty.PLATFORM, PERIOD, prune)

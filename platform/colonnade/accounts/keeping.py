"""The worker's part in tenants' lives: bringing back who was frozen, and removing who is to be deleted.

Where it stands is in the database alone, batch by batch, so that any worker goes on where a killed one stopped.
"""

import asyncio

import asyncpg
import structlog

from colonnade.accounts import coming_back, removal
from colonnade.accounts.states import FROZEN, literal
from colonnade.database.connections import LOST, connect
from colonnade.database.roles import Duty

log = structlog.get_logger()

POLL = 1.0
"""Seconds between looks when there was nothing to do."""

_UNFINISHED = f"""
select id, removal is not null as removed from tenants
where (coming_back or removal = 'deleting') and (removal is not null or state not in {literal(FROZEN)}) order by id
"""  # noqa: S608 - only our own names are put in


async def keep(connection: asyncpg.Connection) -> bool:
    """One step for each tenant that is on its way, whatever becomes of another's; whether there is more to do now."""
    more = False
    for tenant_id, removed in await connection.fetch(_UNFINISHED):
        try:
            if removed:
                more = await removal.advance(connection, tenant_id) or more
            else:
                await coming_back.advance(connection, tenant_id)
        except Exception as error:
            if connection.is_closed():
                raise
            log.error("a tenant is not kept", tenant=tenant_id, exc_info=error)
    return more


async def keep_periodically(database_url: str) -> None:
    """Until cancelled; the database may come and go."""
    while True:
        try:
            connection = await connect(database_url, Duty.PLATFORM)
            try:
                while True:
                    if not await keep(connection):
                        await asyncio.sleep(POLL)
            finally:
                await connection.close(timeout=2)
        except LOST as error:
            log.warning("tenants wait", error=type(error).__name__)
        except Exception as error:
            log.error("tenants are not kept", exc_info=error)
        await asyncio.sleep(POLL)

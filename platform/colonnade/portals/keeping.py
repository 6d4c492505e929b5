"""The worker's part: versions that Stripe could not be asked for, and regular looks at what Stripe has."""

import asyncio
from datetime import timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import func

from colonnade.accounts.service import tenant_by_id
from colonnade.accounts.states import FROZEN, literal
from colonnade.database.connections import LOST, Database
from colonnade.errors import DomainError, Unavailable
from colonnade.portals import drift, store
from colonnade.portals.leases import Lease, held
from colonnade.portals.writing import REFUSED, Writer
from colonnade.services import Services
from colonnade.settings import Settings
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.client import StripeGateway

log = structlog.get_logger()

POLL = 2.0
"""Seconds between looks for what is due."""
AT_ONCE = 8
"""Configurations looked at together, at most; calls to Stripe keep to its limits besides."""
LONGEST_PAUSE = 3600
"""Seconds until the next try of what keeps failing, at most."""
_DUE = f"""
select w.name, t.public_id as tenant
from portal_work w join tenants t on t.id = w.tenant_id and t.state not in {literal(FROZEN)}
where w.due_at <= clock_timestamp() and (w.lease_until is null or w.lease_until < clock_timestamp())
order by w.due_at limit $1
"""  # noqa: S608 - only our own names are put in


class Due(NamedTuple):
    """A configuration, and its tenant's public id."""

    name: str
    tenant: str


async def keep_due(services: Services) -> int:
    """Look at what is due; how many there were."""
    async with services.database.platform_pool.acquire() as connection:
        found = [Due(row["name"], row["tenant"]) for row in await connection.fetch(_DUE, AT_ONCE)]
    await asyncio.gather(*(_keep(services, each) for each in found))
    return len(found)


async def _keep(services: Services, due: Due) -> None:
    tenant = await tenant_by_id(services, due.tenant)
    try:
        async with held(services.database, tenant.id, due.name, patience=0) as lease:
            writer = Writer(services=services, tenant=tenant, lease=lease, priority=Priority.SWEEP)
            await _begin(writer)
            try:
                await _work(writer)
            except DomainError as error:
                await _put_off(writer, error)
    except Unavailable:  # somebody writes it already
        return


async def _begin(writer: Writer) -> None:
    """From here on events that come are new ones; and whoever is killed here has it looked at again."""
    async with writer.services.database.tenant(writer.tenant.id) as session:
        again = func.clock_timestamp() + _pause(writer.lease)
        await writer.lease.keep(
            session, event=None, event_at=None, due_at=again, failures=writer.lease.work.failures + 1
        )


async def _work(writer: Writer) -> None:
    async with writer.services.database.tenant(writer.tenant.id) as session:
        row = await store.find(session, writer.name)
    if row is None:
        await writer.done()
        return
    row = await (drift.look(writer) if row.applied else writer.push(row))
    if row.applied:
        await writer.done()


async def _put_off(writer: Writer, error: DomainError) -> None:
    """A refusal is told to the tenant; it is tried again in any case, ever more rarely."""
    log.warning("portal configuration waits", configuration=writer.name, reason=error.message)
    if isinstance(error, REFUSED):
        async with writer.services.database.tenant(writer.tenant.id) as session:
            await writer.lease.keep(session)
            row = await store.get(session, writer.name)
            if not row.applied:
                await store.note(session, writer.name, problem=_sentence(error))


def _sentence(error: DomainError) -> str:
    return f"{error.param}: {error.message}" if error.param else error.message


def _pause(lease: Lease) -> timedelta:
    return timedelta(seconds=min(5 * 2 ** min(lease.work.failures, 10), LONGEST_PAUSE))


async def keep_periodically(settings: Settings, database_url: str, gateway: StripeGateway) -> None:
    """Keep Stripe's configurations in line until cancelled; the database and Stripe may come and go."""
    while True:
        try:
            async with Database(database_url) as database:
                services = Services(settings, "", database, gateway)
                while True:
                    if not await keep_due(services):
                        await asyncio.sleep(POLL)
        except LOST as error:
            log.warning("portal configurations wait", error=type(error).__name__)
        except Exception as error:
            log.error("portal configurations failed", exc_info=error)
        await asyncio.sleep(POLL)

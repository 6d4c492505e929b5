"""Running imports: by hand, and those that were left running in the worker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import structlog

from colonnade.access import audit
from colonnade.access.principals import COMMAND_LINE
from colonnade.accounts.states import check_writable
from colonnade.database.connections import LOST, create_pool
from colonnade.database.roles import Duty
from colonnade.errors import Conflict, DomainError, Unavailable
from colonnade.imports import store
from colonnade.imports.importer import Importer, Progress
from colonnade.imports.store import Import, Owner
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade_tenants.partition import tenant_connection

log = structlog.get_logger()

LOOK = 5.0
"""Seconds between looks for imports that nobody is at."""
AGAIN = 30.0
"""Seconds before an import that failed is tried again."""


@asynccontextmanager
async def _importer(
    settings: Settings, database_url: str, gateway: StripeGateway
) -> AsyncIterator[tuple[Importer, asyncpg.Pool]]:
    # Two connections: one holds the tenant's lock while the other works.
    async with (
        await create_pool(database_url, Duty.WORKER, size=2) as worker,
        await create_pool(database_url, Duty.INGEST, size=1) as ingest,
    ):
        yield Importer(gateway, worker, ingest, live=settings.livemode), worker


async def import_now(
    settings: Settings, database_url: str, tenant: str, reference_key: str | None, *, dry: bool, progress: Progress
) -> Import:
    """Import what *tenant* (`ten_…`) has at Stripe, or go on with the import that is running; where it is in the end.

    *dry*: only look. Raises `NotFound`, `Closed`, `Conflict`, Stripe's errors.
    """
    gateway = StripeGateway(settings)
    try:
        async with _importer(settings, database_url, gateway) as (importer, pool):
            gateway.use(pool)
            owner = await store.owner(pool, tenant)
            check_writable(owner)
            if dry:
                return await importer.survey(owner, reference_key, progress)
            work = await _started(pool, owner, reference_key)
            while not await importer.run(owner, work, progress):  # the worker is at it
                await asyncio.sleep(LOOK / 5)
                progress(await store.get(pool, owner.id, work.id))
            done = await store.get(pool, owner.id, work.id)
            if done.state == "failed":
                raise Conflict(f"{done.id} failed: {done.problem}")
            return done
    finally:
        await gateway.close()


async def _started(pool: asyncpg.Pool, owner: Owner, reference_key: str | None) -> Import:
    target = f"tenants/{owner.public_id}/imports"
    async with tenant_connection(pool, owner.id) as tenant:
        work, fresh = await store.start(tenant.driver, owner, reference_key)
        if fresh:
            await audit.record(tenant, COMMAND_LINE, "import.started", tenant_id=owner.id, target=target)
    return work


async def import_periodically(settings: Settings, database_url: str, gateway: StripeGateway) -> None:
    """Go on with imports that are running, until cancelled; the database and Stripe may come and go."""
    while True:
        try:
            async with _importer(settings, database_url, gateway) as (importer, pool):
                while await _go_on(importer, pool):
                    await asyncio.sleep(LOOK)
        except LOST as error:
            log.warning("imports wait", error=type(error).__name__)
        except Exception as error:
            log.error("imports failed", exc_info=error)
        await asyncio.sleep(AGAIN)


async def _go_on(importer: Importer, pool: asyncpg.Pool) -> bool:
    """Run what is running; whether all is well."""
    well = True
    for name, tenant in await store.running(pool):
        try:
            owner = await store.owner(pool, tenant)
            await importer.run(owner, await store.get(pool, owner.id, name), lambda _: None)
        except DomainError as error:
            well = well and not isinstance(error, Unavailable)
            log.warning("import stopped", id=name, tenant=tenant, error=str(error))
    return well

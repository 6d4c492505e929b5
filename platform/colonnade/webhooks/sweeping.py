"""Running sweeps: from time to time in the worker, and by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import msgspec
import structlog

from colonnade.accounts.states import State, check_writable
from colonnade.database.connections import LOST, create_pool
from colonnade.database.roles import Duty
from colonnade.errors import Closed, DomainError, NotFound, StripeUnavailable
from colonnade.settings import Settings
from colonnade.stripe_api.charges import ChargeType
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.listing import OF_ACCOUNTS
from colonnade.webhooks.provision import handled_types
from colonnade.webhooks.sweep import Progress, Sweeper
from colonnade.webhooks.sweeps import Account, accounts

log = structlog.get_logger()

LOOK = 30.0
"""Seconds between looks for accounts that are due."""


class Swept(msgspec.Struct):
    """How many events were missing; accounts found to have *disconnected*; accounts that *failed*, and why."""

    stored: int = 0
    disconnected: list[str] = []
    failed: dict[str, str] = {}


class _Named(msgspec.Struct):
    """A tenant whose events are asked for."""

    id: int
    charge_type: ChargeType
    state: State
    state_reason: str | None


@asynccontextmanager
async def _sweeper(
    settings: Settings, database_url: str, gateway: StripeGateway
) -> AsyncIterator[tuple[Sweeper, asyncpg.Pool]]:
    # Two connections: one holds the account's lock while the other works.
    async with (
        await create_pool(database_url, Duty.WORKER, size=2) as worker,
        await create_pool(database_url, Duty.INGEST, size=1) as ingest,
    ):
        yield Sweeper(gateway, worker, ingest, [*handled_types(), *OF_ACCOUNTS], live=settings.livemode), worker


async def sweep_periodically(settings: Settings, database_url: str, gateway: StripeGateway) -> None:
    """Sweep each account every `sweep_seconds`, until cancelled; the database and Stripe may come and go."""
    every = timedelta(seconds=settings.sweep_seconds)
    while True:
        try:
            async with _sweeper(settings, database_url, gateway) as (sweeper, _):
                while True:
                    await sweeper.due(every)
                    await asyncio.sleep(min(LOOK, settings.sweep_seconds))
        except LOST as error:
            log.warning("sweep given up", error=type(error).__name__)
        except Exception as error:
            log.error("sweep failed", exc_info=error)
        await asyncio.sleep(LOOK)


async def sweep_now(
    settings: Settings, database_url: str, tenant: str | None, *, resync: bool, progress: Progress
) -> Swept:
    """Sweep the accounts that the events of *tenant* (`ten_…`), or of all, come from; one's failure stops no other.

    Raises `NotFound` for an unknown tenant, `Closed` for a frozen one, and `StripeUnavailable`.
    """
    gateway = StripeGateway(settings)
    try:
        async with _sweeper(settings, database_url, gateway) as (sweeper, pool):
            gateway.use(pool)
            wanted = await _accounts(pool, tenant)
            result = Swept()
            for account in wanted:
                await _one(sweeper, account, result, resync=resync, progress=progress)
            return result
    finally:
        await gateway.close()


async def _one(sweeper: Sweeper, account: Account, result: Swept, *, resync: bool, progress: Progress) -> None:
    try:
        result.stored += await sweeper.account(account, resync=resync, progress=progress)
    except StripeUnavailable:
        raise  # to any other either
    except Closed as closed:  # if by the platform team, meanwhile, there is nothing to say
        if closed.code == State.DISCONNECTED:
            result.disconnected.append(account.id)
    except DomainError as error:
        result.failed[account.id or "platform"] = str(error)


async def _accounts(pool: asyncpg.Pool, tenant: str | None) -> list[Account]:
    """A tenant's events come from its own account and, unless it charges directly, from the platform's."""
    if tenant is None:
        return await accounts(pool)
    row = await pool.fetchrow("select id, charge_type, state, state_reason from tenants where public_id = $1", tenant)
    if row is None:
        raise NotFound(f"No such tenant: {tenant!r}.", "tenant")
    named = msgspec.convert(dict(row), _Named)
    check_writable(named)
    shared = named.charge_type is not ChargeType.DIRECT
    return [each for each in await accounts(pool) if each.tenant_id == named.id or (shared and not each.id)]

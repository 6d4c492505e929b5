"""Connections by duty: an asyncpg pool for hot paths, a SQLAlchemy engine for the rest."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self, TypeAlias

import asyncpg
import msgspec
from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from colonnade.database.later import Later
from colonnade.database.lost import LOST as LOST
from colonnade.database.roles import Duty, check_login
from colonnade_tenants.partition import TenantConnection, TenantSession, tenant_connection, tenant_session

_SCANS = {
    Duty.APP: {"enable_seqscan": "off"},
    Duty.WORKER: {"enable_seqscan": "off", "enable_bitmapscan": "off"},
}


def server_settings(duty: Duty) -> dict[str, str]:
    """What every connection of *duty* asks of the server.

    Under a generic plan partitions are pruned at execution; 16 then cost no more than one table (measured). Plans are
    made while tables may be empty, and kept while they fill: where each statement is one tenant's, or one batch's, a
    scan of a whole table must not be among them; nor, for a worker, one that has to sort all that waits before it gives
    the first row.
    """
    return _SCANS.get(duty, {}) | {
        "role": str(duty),
        "application_name": f"colonnade {duty.name.lower()}",
        "plan_cache_mode": "force_generic_plan",
        "timezone": "UTC",
        "jit": "off",
    }


async def connect(url: str, duty: Duty) -> asyncpg.Connection:
    """One connection of its own, as *duty*."""
    return await asyncpg.connect(url, server_settings=server_settings(duty))


async def _keep(_connection: asyncpg.Connection) -> None:
    """Reset nothing on release: settings are only ever made per transaction, and RESET costs a round trip."""


async def create_pool(url: str, duty: Duty, *, size: int) -> asyncpg.Pool:
    """A pool of at most *size* connections as *duty*."""
    return await asyncpg.create_pool(url, min_size=1, max_size=size, reset=_keep, server_settings=server_settings(duty))


def create_engine(url: str, duty: Duty, *, size: int) -> AsyncEngine:
    """A SQLAlchemy engine over connections as *duty*."""

    async def creator() -> asyncpg.Connection:
        return await connect(url, duty)

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=creator,
        pool_size=size,
        max_overflow=0,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )
    event.listen(engine.sync_engine, "checkout", _alive)
    return engine


def _alive(_connection: object, record: ConnectionPoolEntry, _proxy: object) -> None:
    """Have a connection that the server closed replaced, and all that are as old: asyncpg's own pools do so too.

    `pool_pre_ping` would ask the server each time.
    """
    driver: Any = record.driver_connection
    if driver.is_closed():
        raise InvalidatePoolError


Transaction: TypeAlias = asyncpg.Connection | TenantConnection | TenantSession | AsyncConnection
"""A transaction that is open, however it was begun."""


async def driver(transaction: Transaction) -> asyncpg.Connection:
    """The asyncpg connection that the transaction is open on."""
    if isinstance(transaction, TenantConnection):
        return transaction.driver
    if isinstance(transaction, TenantSession):
        return (await transaction.twin()).driver
    if isinstance(transaction, AsyncConnection):
        return (await transaction.get_raw_connection()).driver_connection
    return transaction


async def _nothing(_: Transaction) -> None:
    """For who has nothing to do before a commit."""


class Database:
    """The web process's connections. Use as an asynchronous context manager; entering checks the login.

    *before_commit* is awaited at the end of every final transaction, while it is still open. Entering raises
    `UnsafeLogin`.
    """

    app_pool: asyncpg.Pool
    ingest_pool: asyncpg.Pool
    platform_pool: asyncpg.Pool
    later: Later
    """Of what the application's duty may write."""

    def __init__(self, url: str, before_commit: Callable[[Transaction], Awaitable[None]] = _nothing) -> None:
        self.url = url
        self._before_commit = before_commit
        self._app = create_engine(url, Duty.APP, size=8)
        self._platform = create_engine(url, Duty.PLATFORM, size=4)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await verify(self.url)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._app.dispose)
            stack.push_async_callback(self._platform.dispose)
            self.app_pool = await stack.enter_async_context(await create_pool(self.url, Duty.APP, size=8))
            self.ingest_pool = await stack.enter_async_context(await create_pool(self.url, Duty.INGEST, size=2))
            self.platform_pool = await stack.enter_async_context(await create_pool(self.url, Duty.PLATFORM, size=4))
            self.later = Later(self.app_pool)
            stack.push_async_callback(self.later.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def tenant(self, tenant_id: int, *, final: bool = True) -> AsyncIterator[TenantSession]:
        """One transaction as one tenant, through SQLAlchemy.

        Not *final*: what it writes may be taken back, as a lease or a reservation is; `before_commit` does not see it.
        """
        async with tenant_session(self._app, tenant_id) as session:
            yield session
            if final:
                await self._before_commit(session)

    @asynccontextmanager
    async def tenant_connection(self, tenant_id: int) -> AsyncIterator[TenantConnection]:
        """One transaction as one tenant, on asyncpg."""
        async with tenant_connection(self.app_pool, tenant_id) as connection:
            yield connection
            await self._before_commit(connection)

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[AsyncConnection]:
        """One transaction on the platform tables, across tenants, through SQLAlchemy."""
        async with self._platform.begin() as connection:
            yield connection
            await self._before_commit(connection)

    @asynccontextmanager
    async def platform_connection(self) -> AsyncIterator[asyncpg.Connection]:
        """The same on asyncpg."""
        async with self.platform_pool.acquire() as connection, connection.transaction():
            yield connection
            await self._before_commit(connection)


async def verify(url: str) -> None:
    """Refuse a login that could bypass row-level security. Raises `UnsafeLogin`."""
    connection = await asyncpg.connect(url)
    try:
        await check_login(connection)
    finally:
        await connection.close()

"""Two tenants on the real database. Each test acts as one; the other has to come out of it as it went in.

mine      what a test works with: `mine.session()`, `mine.connection()`, `mine.handle(event)`, `mine.stripe`
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from itertools import count
from typing import Any, NamedTuple

import asyncpg
import msgspec
import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from colonnade.database.connections import create_engine, create_pool
from colonnade.database.roles import Duty
from colonnade_tenants import catalogue, customers
from colonnade_tenants.entitlements import CheckResult, check
from colonnade_tenants.errors import NotFound
from colonnade_tenants.events import Event
from colonnade_tenants.handlers import HANDLERS
from colonnade_tenants.partition import TENANT, TenantConnection, TenantSession, tenant_connection, tenant_session
from colonnade_tenants.tables import metadata, plan_versions
from tests.conftest import ScratchDatabase
from tests.tenants import payloads

_ids = count(41)
TABLES = sorted(metadata.tables)


class StripeReads:
    """Answers reads from *replies*, by path, and keeps what was asked."""

    def __init__(self) -> None:
        self.replies: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self.asked.append((path, dict(params or {})))
        reply = self.replies.get(path)
        if reply is None:
            raise NotFound(f"No such object: {path}")
        found: dict[str, Any] = reply(dict(params or {})) if callable(reply) else reply
        return found


class Tenant:
    """One tenant, as a request (`app`) and as a worker would reach it."""

    def __init__(self, tenant_id: int, engine: AsyncEngine, app: asyncpg.Pool, worker: asyncpg.Pool) -> None:
        self.id = tenant_id
        self.app = app
        self.worker = worker
        self.stripe = StripeReads()
        self._engine = engine

    def session(self) -> AbstractAsyncContextManager[TenantSession]:
        return tenant_session(self._engine, self.id)

    def connection(self) -> AbstractAsyncContextManager[TenantConnection]:
        return tenant_connection(self.worker, self.id)

    def sibling(self) -> "Tenant":
        """A further tenant of this test's own."""
        return Tenant(next(_ids), self._engine, self.app, self.worker)

    async def handle(self, *events: Event) -> None:
        """Each event in a transaction of its own."""
        for event in events:
            async with self.connection() as connection:
                await HANDLERS[event.type](event, connection, self.stripe)

    async def sell(self, **grants: bool | int | None) -> None:
        """A plan for `price_basic`; a feature is named `KIND_…`. Quantities are per unit."""
        async with self.session() as session:
            for name in grants:
                kind: Any = name.partition("_")[0]
                await catalogue.put_feature(session, catalogue.Feature(name, kind, name))
            terms = [catalogue.Grant(name, value, name.startswith("quantity")) for name, value in grants.items()]
            await catalogue.put_plan(session, catalogue.Plan("basic", "Basic", price="price_basic", grants=terms))
            await from_the_beginning(session)

    async def has_customer(self, reference: str = "ref", stripe_customer: str = "cus_1") -> customers.Customer:
        async with self.session() as session:
            customer, _ = await customers.reserve(session, reference)
            return await customers.bind(session, customer, stripe_customer)

    async def check(self, reference: str = "ref") -> CheckResult:
        found = await check(self.app, self.id, reference)
        assert found is not None
        return found

    async def granted(self, reference: str = "ref") -> dict[str, Any]:
        """The values of what the customer has now."""
        return {answer.feature: answer.value for answer in (await self.check(reference)).entitlements if answer.granted}

    async def check_history(self) -> None:
        """Played back, the changes give the present rows."""
        changes = sorted(await self.rows("entitlement_changes"), key=lambda row: row["sequence"])
        assert [row["sequence"] for row in changes] == list(range(1, len(changes) + 1))
        believed: dict[str, Any] = {}
        for change in changes:
            assert believed.get(change["feature"]) == (change["before"] and msgspec.json.decode(change["before"]))
            believed[change["feature"]] = change["after"] and msgspec.json.decode(change["after"])
        present: dict[str, list[Any]] = {}
        for row in sorted(
            await self.rows("entitlements", "tenant_id", "customer_id"), key=lambda row: row["valid_from"]
        ):
            present.setdefault(row["feature"], []).append(msgspec.to_builtins(row))
        assert {feature: after for feature, after in believed.items() if after} == present

    async def rows(self, table: str, *without: str) -> list[dict[str, Any]]:
        """All rows that the tenant sees, without the named columns, in an order of their own."""
        found = await visible(self.worker, self.id, table)
        return sorted(({k: v for k, v in row.items() if k not in without} for row in found), key=repr)


async def from_the_beginning(session: TenantSession) -> None:
    """Let all plans hold since before any subscription began: by themselves they hold from when they are put."""
    await session.execute(update(plan_versions).where(plan_versions.c.tenant_id == TENANT).values(effective_from=None))


async def visible(pool: asyncpg.Pool, tenant_id: int, table: str) -> list[dict[str, Any]]:
    """What a query that forgot its tenant would see: row-level security alone confines it."""
    async with pool.acquire() as connection, connection.transaction():
        await TenantConnection.bind(connection, tenant_id)
        return [dict(row) for row in await connection.fetch(f"select * from {table}")]


async def all_rows(pool: asyncpg.Pool, tenant_id: int) -> dict[str, list[str]]:
    return {table: sorted(map(repr, await visible(pool, tenant_id, table))) for table in TABLES}


class Pools(NamedTuple):
    """Connections of each kind to a module's database."""

    engine: AsyncEngine
    app: asyncpg.Pool
    worker: asyncpg.Pool


@pytest.fixture(scope="module")
async def pools(shared_database: ScratchDatabase) -> AsyncIterator[Pools]:
    url = shared_database.service_url
    engine = create_engine(url, Duty.APP, size=4)
    async with await create_pool(url, Duty.APP, size=4) as app, await create_pool(url, Duty.WORKER, size=4) as worker:
        yield Pools(engine, app, worker)
    await engine.dispose()


@pytest.fixture
async def mine(pools: Pools) -> AsyncIterator[Tenant]:
    worker = pools.worker
    tenant, other = (Tenant(next(_ids), *pools) for _ in range(2))
    await other.sell(flag_export=True, limit_projects=7)
    await other.has_customer()
    await other.handle(payloads.event("created", payloads.START, payloads.subscription()))
    before = await all_rows(worker, other.id)
    assert len(before["entitlements"]) == 2
    yield tenant
    assert await all_rows(worker, other.id) == before, "another tenant's rows were touched"
    for table in TABLES:
        assert {row["tenant_id"] for row in await visible(worker, tenant.id, table)} <= {tenant.id}

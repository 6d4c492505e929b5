"""Whatever order tenants' transactions come in, over one connection each reads exactly its own rows."""

import asyncio
import itertools
from collections import defaultdict
from dataclasses import dataclass, field

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Text, bindparam, delete, insert, select

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.tables import customers

from ..conftest import ScratchDatabase

OWN = customers.c.tenant_id == TENANT
READ = Statement(select(customers.c.public_id).where(OWN))
ADD = Statement(insert(customers).values(tenant_id=TENANT, public_id=bindparam("public_id", type_=Text)))
CLEAR = Statement(delete(customers).where(OWN))
READ_ALL = "SELECT tenant_id, public_id FROM customers"  # names no tenant on purpose

STEPS = st.recursive(
    st.sampled_from(["read", "add", "clear", "error"]),
    lambda steps: st.tuples(st.sampled_from(["release", "roll back"]), st.lists(steps, max_size=4)),
    max_leaves=8,
)
TRANSACTIONS = st.tuples(
    st.sampled_from([7, 11, 12]), st.lists(STEPS, max_size=6), st.sampled_from(["commit", "rollback"])
)
numbers = itertools.count()


@dataclass
class Run:
    """One connection, and what every tenant should find over it."""

    connection: asyncpg.Connection
    expected: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    async def transaction(self, tenant: int, steps: list[object], end: str) -> None:
        await self.unbound()
        before = set(self.expected[tenant])
        transaction = self.connection.transaction()
        await transaction.start()
        bound = await TenantConnection.bind(self.connection, tenant)
        await self.steps(bound, steps)
        await self.read(bound)
        await getattr(transaction, end)()
        if end == "rollback":
            self.expected[tenant] = before
        await self.unbound()

    async def steps(self, bound: TenantConnection, steps: list[object]) -> None:
        for step in steps:
            if isinstance(step, tuple):
                await self.savepoint(bound, *step)
            else:
                await getattr(self, str(step))(bound)

    async def savepoint(self, bound: TenantConnection, end: str, steps: list[object]) -> None:
        before = set(self.expected[bound.tenant_id])
        savepoint = self.connection.transaction()
        await savepoint.start()
        await self.steps(bound, steps)
        if end == "release":
            await savepoint.commit()
        else:
            await savepoint.rollback()
            self.expected[bound.tenant_id] = before
        await self.read(bound)

    async def read(self, bound: TenantConnection) -> None:
        own = self.expected[bound.tenant_id]
        assert {row["public_id"] for row in await bound.fetch(READ)} == own
        assert {tuple(row) for row in await self.connection.fetch(READ_ALL)} == {
            (bound.tenant_id, name) for name in own
        }

    async def add(self, bound: TenantConnection) -> None:
        public_id = f"ecu_{next(numbers)}"
        await bound.execute(ADD, public_id=public_id)
        self.expected[bound.tenant_id].add(public_id)

    async def clear(self, bound: TenantConnection) -> None:
        assert await bound.execute(CLEAR) == len(self.expected[bound.tenant_id])
        self.expected[bound.tenant_id].clear()

    async def error(self, bound: TenantConnection) -> None:
        savepoint = self.connection.transaction()
        await savepoint.start()
        try:
            await self.connection.execute("INSERT INTO customers (tenant_id, public_id) VALUES (99, 'ecu_other')")
        except asyncpg.InsufficientPrivilegeError:
            await savepoint.rollback()
        else:
            raise AssertionError("a row of another tenant was accepted")

    async def unbound(self) -> None:
        assert await self.connection.fetch(READ_ALL) == []


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(transactions=st.lists(TRANSACTIONS, min_size=2, max_size=8))
def test_each_tenant_reads_exactly_its_own_rows(
    shared_database: ScratchDatabase, transactions: list[tuple[int, list[object], str]]
) -> None:
    asyncio.run(_run(shared_database, transactions))


async def _run(database: ScratchDatabase, transactions: list[tuple[int, list[object], str]]) -> None:
    async with await create_pool(database.service_url, Duty.APP, size=1) as pool:
        first = None
        expected: dict[int, set[str]] = defaultdict(set)
        for transaction in transactions:
            async with pool.acquire() as connection:
                await Run(connection, expected).transaction(*transaction)
                first = first or connection.get_server_pid()
                assert connection.get_server_pid() == first
        for tenant in expected:
            async with pool.acquire() as connection, connection.transaction():
                await (await TenantConnection.bind(connection, tenant)).execute(CLEAR)

"""The web process's connections: each says its duty, and none is opened with a login that could do more."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest
from sqlalchemy import insert, select, text

from colonnade.database import tables
from colonnade.database.connections import Database, Transaction, connect, driver, server_settings
from colonnade.database.roles import SERVICE_DUTIES, Duty, UnsafeLogin
from colonnade_tenants.partition import TENANT, Statement
from colonnade_tenants.tables import customers, features

from ..conftest import ScratchDatabase, run_sql

ADD = insert(customers).values(tenant_id=TENANT, public_id="ecu_1", metadata={"größe": ["ü", 1, None]})
METADATA = select(customers.c.metadata).where(customers.c.tenant_id == TENANT)
ADD_TENANT = insert(tables.tenants).values(
    public_id="ten_1", name="Ash", charge_type="direct", return_origins=["https://ash.example"], fingerprint=b"\0"
)


async def test_the_pools_act_as_their_duties(database: ScratchDatabase) -> None:
    async with Database(database.service_url) as connections:
        for pool, duty in (
            (connections.app_pool, Duty.APP),
            (connections.ingest_pool, Duty.INGEST),
            (connections.platform_pool, Duty.PLATFORM),
        ):
            assert await pool.fetchval("select current_user") == duty
        async with connections.platform() as connection:
            assert await connection.scalar(text("select current_user::text")) == Duty.PLATFORM


@pytest.mark.parametrize("duty", SERVICE_DUTIES)
async def test_a_connection_asks_for_what_its_duty_needs(database: ScratchDatabase, duty: Duty) -> None:
    connection = await connect(database.service_url, duty)
    for name, value in server_settings(duty).items():
        assert await connection.fetchval("select current_setting($1)", name) == value
    await connection.close()


async def test_a_login_that_could_do_more_opens_nothing(database: ScratchDatabase) -> None:
    connections = Database(database.admin_url)
    with pytest.raises(UnsafeLogin):
        await connections.__aenter__()
    assert not hasattr(connections, "app_pool")


async def test_a_tenants_session_commits_at_its_end(database: ScratchDatabase) -> None:
    async with Database(database.service_url) as connections:
        async with connections.tenant(7) as session:
            await session.execute(ADD)
        async with connections.tenant(7) as session:
            assert await session.scalar(METADATA) == {"größe": ["ü", 1, None]}
        async with connections.tenant(8) as session:
            assert await session.scalar(METADATA) is None


async def test_a_tenants_session_rolls_back_on_an_exception(database: ScratchDatabase) -> None:
    async with Database(database.service_url) as connections:

        async def fail() -> None:
            async with connections.tenant(7) as session:
                await session.execute(ADD)
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        async with connections.tenant_connection(7) as connection:
            assert await connection.fetch(Statement(METADATA)) == []


async def test_a_session_and_its_twin_share_one_transaction(database: ScratchDatabase) -> None:
    read = Statement(select(customers.c.public_id).where(customers.c.tenant_id == TENANT))
    async with Database(database.service_url) as connections, connections.tenant(7) as session:
        await session.execute(ADD)
        found = await (await session.twin()).fetch_one(read)
        assert found is not None
        assert found["public_id"] == "ecu_1"


async def test_the_twin_writes_and_counts(database: ScratchDatabase) -> None:
    add = Statement(insert(features).values(tenant_id=TENANT, key="", kind="flag", name="").returning(features.c.key))
    count = Statement(select(features.c.key).where(features.c.tenant_id == TENANT).order_by(features.c.key))
    change = Statement(features.update().where(features.c.tenant_id == TENANT).values(kind="limit"))
    async with Database(database.service_url) as connections, connections.tenant_connection(7) as connection:
        await connection.execute_many(add, [{"key": "a", "name": "A"}, {"key": "b", "name": "B"}])
        assert [row["key"] for row in await connection.fetch(count)] == ["a", "b"]
        assert await connection.execute(change) == 2
        assert await connection.fetch_one(count) == ("a",)


async def test_platform_reaches_all_tenants_and_rolls_back_on_an_exception(database: ScratchDatabase) -> None:
    async with Database(database.service_url) as connections:
        async with connections.platform() as connection:
            await connection.execute(ADD_TENANT)

        async def fail() -> None:
            async with connections.platform() as connection:
                await connection.execute(tables.tenants.delete())
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        async with connections.platform() as connection:
            assert (await connection.execute(select(tables.tenants.c.public_id))).scalars().all() == ["ten_1"]


async def test_what_the_server_closed_is_replaced_before_anybody_gets_it(database: ScratchDatabase) -> None:
    """As after a restart of the database; three at a time, so that the pools have some."""
    async with Database(database.service_url) as connections:

        async def through(way: Callable[[], AbstractAsyncContextManager[Transaction]]) -> asyncpg.Connection:
            async with way() as transaction:
                connection = await driver(transaction)
                await connection.fetchval("select pg_sleep(0.05)")
            return connection

        ways: list[Callable[[], AbstractAsyncContextManager[Transaction]]] = [
            connections.platform,
            connections.platform_connection,
            lambda: connections.tenant(7),
            lambda: connections.tenant_connection(7),
        ]
        used = [await asyncio.gather(*(through(way) for _ in range(3))) for way in ways]
        stop = "select pg_terminate_backend(pid) from pg_stat_activity where usename like 'colonnade%'"
        await asyncio.to_thread(run_sql, database.admin_url, f"{stop} and datname = current_database()")
        async with asyncio.timeout(30):
            while not all(each.is_closed() for three in used[::2] for each in three):
                await asyncio.sleep(0.01)
        for way in ways:
            await asyncio.gather(*(through(way) for _ in range(3)))


async def test_leaving_closes_every_connection(database: ScratchDatabase) -> None:
    async with Database(database.service_url) as connections:
        async with connections.tenant(7) as session:
            await session.execute(METADATA)
        async with connections.platform() as connection:
            await connection.execute(text("select 1"))
    admin = await asyncpg.connect(database.admin_url)
    left = await admin.fetch(
        "select application_name from pg_stat_activity where usename like 'colonnade%' and datname = current_database()"
    )
    await admin.close()
    assert left == []

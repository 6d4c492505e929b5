"""Every statement on tenant tables names its tenant, and so touches one partition of 16."""

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest
from sqlalchemy import Table, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from colonnade.database.connections import create_engine, server_settings
from colonnade.database.roles import Duty
from colonnade_tenants.partition import (
    TENANT,
    Statement,
    TenantConnection,
    TenantNotNamed,
    tenant_connection,
    tenant_session,
)
from colonnade_tenants.tables import customers, metadata

from ..conftest import ScratchDatabase
from .conftest import A, B
from .probe import rolled_back

NOBODY = 12
TABLES = list(metadata.tables.values())
UNNAMED = [
    select(customers),
    select(customers).where(customers.c.tenant_id == A),
    update(customers).values(name="x"),
    delete(customers),
    insert(customers).values(tenant_id=A, public_id="ecu_x"),
    text("SELECT * FROM customers"),
]


@pytest.fixture
async def engine(shared_database: ScratchDatabase) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(shared_database.service_url, Duty.APP, size=1)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("statement", UNNAMED, ids=str)
async def test_a_statement_without_its_tenant_is_refused(statement: Any, engine: AsyncEngine) -> None:
    with pytest.raises(TenantNotNamed):
        Statement(statement)
    async with tenant_session(engine, A) as session:
        for run in (session.execute, session.scalar, session.scalars):
            with pytest.raises(TenantNotNamed):
                await run(statement)


@pytest.mark.usefixtures("rows")
async def test_a_session_and_its_twin_fill_the_tenant_in(engine: AsyncEngine) -> None:
    named = select(customers.c.tenant_id).where(customers.c.tenant_id == TENANT)
    for tenant in (A, B, A):
        async with tenant_session(engine, tenant) as session:
            assert (await session.execute(named)).scalars().all() == [tenant]
            assert (await session.scalars(named)).all() == [tenant]
            assert await session.scalar(named) == tenant
            twin = await session.twin()
            assert [row["tenant_id"] for row in await twin.fetch(Statement(named))] == [tenant]


@pytest.mark.usefixtures("rows")
async def test_nobody_can_name_another_tenant(engine: AsyncEngine, app_pool: asyncpg.Pool) -> None:
    named = select(customers.c.tenant_id).where(customers.c.tenant_id == TENANT)
    async with tenant_session(engine, A) as session:
        assert (await session.execute(named, {"tenant": B})).scalars().all() == [A]
    async with tenant_connection(app_pool, A) as connection:
        assert [row["tenant_id"] for row in await connection.fetch(Statement(named), tenant=B)] == [A]


@pytest.fixture(params=["app", "superuser"])
async def connection(shared_database: ScratchDatabase, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """As `app`; and as a superuser, whom no policy helps to find the partition."""
    url = shared_database.service_url if request.param == "app" else shared_database.admin_url
    settings = server_settings(Duty.APP)
    if request.param == "superuser":
        del settings["role"]
    connection = await asyncpg.connect(url, server_settings=settings)
    yield connection
    await connection.close()


@pytest.mark.parametrize("table", TABLES, ids=str)
async def test_a_statement_touches_one_partition(table: Table, connection: asyncpg.Connection) -> None:
    own = table.c.tenant_id == TENANT
    column = table.columns.values()[-1]
    for statement in (
        select(table).where(own),
        update(table).where(own).values({column: column}),
        delete(table).where(own),
    ):
        touched = await relations(connection, Statement(statement))
        assert len(touched) == 1
        assert re.fullmatch(rf"{table.name}_p\d\d", touched.pop())


@pytest.mark.parametrize("connection", ["superuser"], indirect=True)
async def test_a_statement_that_forgot_its_tenant_would_touch_them_all(connection: asyncpg.Connection) -> None:
    forgetful = Statement(select(customers).where(func.abs(customers.c.tenant_id) == TENANT))
    assert len(await relations(connection, forgetful)) == 16


async def relations(connection: asyncpg.Connection, statement: Statement) -> set[str]:
    """The tables that the statement's generic plan reads when it runs for a tenant without rows."""
    async with rolled_back(connection):
        await TenantConnection.bind(connection, NOBODY)
        await connection.execute(f"PREPARE explained AS {statement.text}")
        plan = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE explained({NOBODY})")
        await connection.execute("DEALLOCATE explained")
    return set(_scanned(msgspec.json.decode(plan)[0]["Plan"]))


def _scanned(node: dict[str, Any]) -> list[str]:
    own = [node["Relation Name"]] if "Scan" in node["Node Type"] and "Relation Name" in node else []
    return own + [name for child in node.get("Plans", []) for name in _scanned(child)]

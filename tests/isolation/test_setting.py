"""The setting `colonnade.tenant`: absent, forged, left over, lost with a rollback or a savepoint.

It lives as long as a transaction. Whoever makes it for the session instead leaves it to whatever runs on the connection
next without a tenant; a transaction that is bound to a tenant is confined to that one all the same. No code does so:
`test_no_code_sets_the_tenant_of_a_session`.
"""

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import insert, select

from colonnade_tenants.partition import TENANT, Statement, TenantConnection, tenant_connection
from colonnade_tenants.tables import customers

from ..conftest import ROOT
from .conftest import A, B
from .probe import rolled_back
from .rows import Rows

SEEN = "SELECT DISTINCT tenant_id FROM customers ORDER BY 1"
OWN_CUSTOMERS = Statement(select(customers.c.id).where(customers.c.tenant_id == TENANT))
ADD = Statement(insert(customers).values(tenant_id=TENANT, public_id="ecu_new"))

pytestmark = pytest.mark.usefixtures("rows")


async def seen(connection: asyncpg.Connection | asyncpg.Pool) -> list[int]:
    return [row["tenant_id"] for row in await connection.fetch(SEEN)]


@pytest.mark.parametrize(
    ("forged", "answer"),
    [
        ("", []),
        ("-1", []),
        ("0", []),
        (f"{A}", [A]),
        (f"-{A}", []),
        ("abc", asyncpg.InvalidTextRepresentationError),
        (f"{A} or true", asyncpg.InvalidTextRepresentationError),
        (f"{A}, {B}", asyncpg.InvalidTextRepresentationError),
        ("*", asyncpg.InvalidTextRepresentationError),
        ("null", asyncpg.InvalidTextRepresentationError),
        ("9" * 30, asyncpg.NumericValueOutOfRangeError),
    ],
)
async def test_a_forged_tenant_sees_nothing(
    app_pool: asyncpg.Pool, forged: str, answer: list[int] | type[Exception]
) -> None:
    async with app_pool.acquire() as connection, rolled_back(connection):
        await connection.execute("SELECT set_config('colonnade.tenant', $1, true)", forged)
        if isinstance(answer, list):
            assert await seen(connection) == answer
        else:
            with pytest.raises(answer):
                await seen(connection)
    assert await seen(app_pool) == []


async def test_without_a_tenant_nothing_is_seen_and_nothing_written(app_pool: asyncpg.Pool, rows: Rows) -> None:
    assert await seen(app_pool) == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await app_pool.execute(rows.insert(rows.recipes["customers"], A))


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_the_tenant_ends_with_its_transaction(app_pool: asyncpg.Pool, end: str) -> None:
    async with app_pool.acquire() as connection:
        for tenant in (A, B, A):
            transaction = connection.transaction()
            await transaction.start()
            await TenantConnection.bind(connection, tenant)
            assert await seen(connection) == [tenant]
            await getattr(transaction, end)()
            assert await seen(connection) == []
            assert await connection.fetchval("SELECT current_setting('colonnade.tenant', true)") == ""


@pytest.mark.parametrize("error", ["SELECT 1/0", "SELECT nothing", "INSERT INTO customers DEFAULT VALUES"])
async def test_the_tenant_ends_with_an_error(app_pool: asyncpg.Pool, error: str) -> None:
    async def fail() -> None:
        async with tenant_connection(app_pool, A) as own:
            await own._connection.execute(error)

    with pytest.raises(asyncpg.PostgresError):
        await fail()
    assert await seen(app_pool) == []


async def test_the_tenant_ends_with_a_cancelled_task(app_pool: asyncpg.Pool) -> None:
    bound = asyncio.Event()

    async def sleep() -> None:
        async with tenant_connection(app_pool, A) as own:
            bound.set()
            await own._connection.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(sleep())
    await bound.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await seen(app_pool) == []


async def test_binding_needs_a_transaction(app_pool: asyncpg.Pool) -> None:
    async with app_pool.acquire() as connection:
        with pytest.raises(RuntimeError, match="none is open"):
            await TenantConnection.bind(connection, A)
        assert await seen(connection) == []


async def test_a_savepoint_rolled_back_restores_the_tenant_before_it(app_pool: asyncpg.Pool) -> None:
    async with tenant_connection(app_pool, A) as own:
        connection = own._connection
        async with rolled_back(connection):
            other = await TenantConnection.bind(connection, B)
            assert await seen(connection) == [B]
            await other.execute(ADD)
        assert await seen(connection) == [A]
        assert len(await own.fetch(OWN_CUSTOMERS)) == 1


async def test_after_a_released_savepoint_the_first_tenant_sees_nothing_rather_than_the_second(
    app_pool: asyncpg.Pool,
) -> None:
    """PostgreSQL keeps a setting when its savepoint is released: statements name their tenant, and both must agree."""
    async with tenant_connection(app_pool, A) as own:
        async with own._connection.transaction():
            await TenantConnection.bind(own._connection, B)
        assert await own.fetch(OWN_CUSTOMERS) == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await own.execute(ADD)


async def test_a_setting_left_on_the_session_does_not_reach_a_bound_transaction(app_pool: asyncpg.Pool) -> None:
    await app_pool.execute(f"SET colonnade.tenant = '{B}'")
    async with tenant_connection(app_pool, A) as own:
        assert await seen(own._connection) == [A]
    assert await seen(app_pool) == [B]  # the limit: a transaction that is not bound acts as the tenant left over
    await app_pool.execute("RESET colonnade.tenant")
    assert await seen(app_pool) == []


def test_no_code_sets_the_tenant_of_a_session() -> None:
    sources = [path for folder in ("platform", "tenants", "migrations") for path in (ROOT / folder).rglob("*.py")]
    calls = [call for path in sources for call in _settings_of_the_tenant(path)]
    assert len(calls) >= 3
    assert [call for call in calls if not call.endswith(", true)")] == []


def _settings_of_the_tenant(path: Path) -> list[str]:
    return re.findall(
        r"set_config\('colonnade\.tenant'.*?(?:, true\)|, false\)|$)|SET\s+(?:SESSION\s+)?colonnade\.tenant",
        path.read_text(),
        re.MULTILINE,
    )

"""What arbitrary SQL on a service's connection can do, and what not.

Row-level security guards against statements that forget or mistake their tenant. It is no wall against an attacker who
runs SQL of their own: that SQL may set `colonnade.tenant` to any number, and `SET ROLE` to any duty, for the one
service login is a member of all of them. `test_the_limit` says how far that goes. Hence every value is passed as a
parameter, and none of the roles owns, creates or bypasses anything.
"""

import asyncpg
import pytest

from colonnade.database.roles import SERVICE_LOGIN, Duty
from colonnade_tenants.partition import TenantConnection

from .conftest import A, B
from .probe import rolled_back

pytestmark = pytest.mark.usefixtures("rows")

REFUSED = [
    f"SET ROLE {Duty.OWNER}",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "ALTER TABLE customers DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE customers NO FORCE ROW LEVEL SECURITY",
    "DROP POLICY tenant_isolation ON customers",
    "CREATE POLICY mine ON customers USING (true)",
    "ALTER ROLE colonnade_app BYPASSRLS",
    f"ALTER ROLE {SERVICE_LOGIN} SUPERUSER",
    f"GRANT {Duty.OWNER} TO {SERVICE_LOGIN}",
    "TABLE customers_p00",
    "COPY customers TO PROGRAM 'cat'",
    "TRUNCATE customers",
    "CREATE TABLE mine ()",
    "CREATE FUNCTION mine() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM customers'",
    "CREATE TRIGGER mine BEFORE INSERT ON customers EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "TABLE api_keys",
    "SELECT pg_read_file('PG_VERSION')",
    "TABLE pg_authid",
    "TABLE pg_statistic",
]


@pytest.mark.parametrize("sql", REFUSED)
async def test_the_app_cannot(app_pool: asyncpg.Pool, sql: str) -> None:
    async with app_pool.acquire() as connection, rolled_back(connection):
        await TenantConnection.bind(connection, A)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(sql)


async def test_turning_row_security_off_stops_the_query(app_pool: asyncpg.Pool) -> None:
    async with app_pool.acquire() as connection, rolled_back(connection):
        await TenantConnection.bind(connection, A)
        await connection.execute("SET LOCAL row_security = off")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.fetch("SELECT FROM customers")


async def test_other_ways_to_read_see_one_tenant(app_pool: asyncpg.Pool) -> None:
    async with app_pool.acquire() as connection, rolled_back(connection):
        await TenantConnection.bind(connection, A)
        copied: list[bytes] = []

        async def keep(data: bytes) -> None:
            copied.append(data)

        await connection.copy_from_query("SELECT tenant_id FROM customers", output=keep)
        assert b"".join(copied) == f"{A}\n".encode()
        await connection.execute("CREATE TEMPORARY VIEW mine AS SELECT tenant_id FROM customers")
        assert await connection.fetch("TABLE mine") == [(A,)]


async def test_a_cheap_function_in_the_condition_sees_no_row_before_the_policy(app_pool: asyncpg.Pool) -> None:
    """A function that is not LEAKPROOF runs after the policy, however cheap it claims to be."""
    async with app_pool.acquire() as connection, rolled_back(connection):
        await TenantConnection.bind(connection, A)
        await connection.execute("CREATE TEMPORARY TABLE leaked (tenant_id bigint)")
        await connection.execute(
            "CREATE FUNCTION pg_temp.leak(bigint) RETURNS boolean LANGUAGE sql VOLATILE COST 0.0001"
            " AS 'INSERT INTO pg_temp.leaked VALUES ($1) RETURNING true'"
        )
        await connection.execute("SELECT FROM customers WHERE pg_temp.leak(tenant_id)")
        assert await connection.fetch("TABLE leaked") == [(A,)]


async def test_the_limit(app_pool: asyncpg.Pool) -> None:
    """Hijacked, a connection reaches what the duties reach together, one tenant at a time; never as the owner."""
    both = "SELECT id FROM tenants ORDER BY id"
    async with app_pool.acquire() as connection, rolled_back(connection):
        await TenantConnection.bind(connection, A)
        assert await connection.fetch(both) == [(A,)]
        await connection.execute(f"SET LOCAL ROLE {Duty.PLATFORM}")
        assert await connection.fetch(both) == [(A,), (B,)]
        assert await connection.fetch("SELECT tenant_id FROM customers") == [(A,)]
        await connection.execute(f"SET LOCAL colonnade.tenant = '{B}'")
        assert await connection.fetch("SELECT tenant_id FROM customers") == [(B,)]
        await connection.execute("SET LOCAL ROLE NONE")
        assert await connection.fetchval("SELECT current_user") == SERVICE_LOGIN
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT FROM customers")
    assert await app_pool.fetchval("SELECT current_user") == Duty.APP


async def test_resetting_the_role_leads_back_to_the_duty(app_pool: asyncpg.Pool) -> None:
    async with app_pool.acquire() as connection:
        await connection.execute(f"SET ROLE {Duty.WORKER}")
        await connection.execute("RESET ROLE")
        assert await connection.fetchval("SELECT current_user") == Duty.APP

"""The catalogue holds nothing that would let tenants mix, and `faults` would see it if it did."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from colonnade.database import row_security
from colonnade.database.roles import Duty

from ..conftest import ScratchDatabase
from .catalogue import faults, tables
from .expected import PLATFORM_TABLES


@pytest.fixture
async def admin(shared_database: ScratchDatabase) -> AsyncIterator[asyncpg.Connection]:
    """A superuser in a transaction that is rolled back."""
    connection = await asyncpg.connect(shared_database.admin_url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def test_nothing_lets_tenants_mix(admin: asyncpg.Connection) -> None:
    assert await faults(admin) == []


async def test_the_checks_cover_tables_partitions_and_platform_tables(admin: asyncpg.Connection) -> None:
    found = [table for table in await tables(admin) if table.tenant_column]
    parents = [table for table in found if table.kind == "p"]
    assert len(parents) >= 9
    assert len([table for table in found if table.is_partition]) == 16 * len(parents)
    assert {table.name for table in found if table.kind == "r" and not table.is_partition} == PLATFORM_TABLES.keys()


async def test_no_policy_can_be_removed_unseen(admin: asyncpg.Connection) -> None:
    """All at once, since each look at the catalogue takes a tenth of a second: every one of them has to be missed."""
    policies = await admin.fetch("select tablename::text as table, policyname::text as name from pg_policies")
    assert len(policies) > 150
    for policy in policies:
        await admin.execute(f"DROP POLICY {policy['name']} ON {policy['table']}")
    missed = [f"{policy['table']}: policy {policy['name']} is missing" for policy in policies]
    assert sorted(await faults(admin)) == sorted(missed)


async def _run(admin: asyncpg.Connection, *statements: str) -> list[str]:
    for statement in statements:
        await admin.execute(statement)
    return await faults(admin)


async def test_a_table_without_a_policy_is_seen(admin: asyncpg.Connection) -> None:
    await admin.execute(f"SET LOCAL ROLE {Duty.OWNER}")
    assert await _run(admin, "CREATE TABLE notes (tenant_id bigint, body text)") == [
        "notes: row-level security is not enabled",
        "notes: row-level security is not forced",
        "notes: neither partitioned nor named by PLATFORM_TABLES",
        "notes: policy tenant_isolation is missing",
    ]


async def test_a_partitioned_table_without_policies_is_seen(admin: asyncpg.Connection) -> None:
    await admin.execute(f"SET LOCAL ROLE {Duty.OWNER}")
    made = "CREATE TABLE notes (tenant_id bigint, id bigint, PRIMARY KEY (id, tenant_id)) PARTITION BY HASH (tenant_id)"
    found = await _run(
        admin, made, "CREATE TABLE notes_p00 PARTITION OF notes FOR VALUES WITH (MODULUS 16, REMAINDER 0)"
    )
    assert "notes: policy tenant_isolation is missing" in found
    assert "notes_p00: policy tenant_isolation is missing" in found
    assert "notes: has 1 partitions" in found
    assert "notes: notes_pkey does not begin with tenant_id" in found
    assert f"notes: grant {Duty.APP} SELECT is missing" in found


async def test_a_new_tenant_table_made_as_migrations_make_them_is_fine(admin: asyncpg.Connection) -> None:
    await admin.execute(f"SET LOCAL ROLE {Duty.OWNER}")
    made = "CREATE TABLE notes (tenant_id bigint, id bigint, PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (tenant_id)"
    assert await _run(admin, made, *row_security.partition("notes")) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("ALTER TABLE inbox DISABLE ROW LEVEL SECURITY", "inbox: row-level security is not enabled"),
        ("ALTER TABLE plans_p07 NO FORCE ROW LEVEL SECURITY", "plans_p07: row-level security is not forced"),
        ("ALTER TABLE tenants OWNER TO colonnade_app", "tenants: belongs to colonnade_app"),
        ("DROP POLICY tenant_isolation ON plans_p07", "plans_p07: policy tenant_isolation is missing"),
        ("DROP POLICY worker_select ON tenants", "tenants: policy worker_select is missing"),
        ("CREATE POLICY wide ON customers USING (true)", "customers: policy wide is not expected"),
        ("ALTER POLICY tenant_isolation ON features USING (true)", "features: policy tenant_isolation says"),
        ("ALTER POLICY tenant_isolation ON plans TO colonnade_app", "plans: policy tenant_isolation says"),
        ("GRANT SELECT ON customers_p03 TO colonnade_app", "customers_p03: grant colonnade_app SELECT is not expected"),
        ("GRANT SELECT (body) ON inbox TO colonnade_ingest", "inbox: grant colonnade_ingest SELECT is not expected"),
        ("GRANT TRUNCATE ON plans TO colonnade_worker", "plans: grant colonnade_worker TRUNCATE is not expected"),
        ("GRANT SELECT ON tenants TO PUBLIC", "tenants: grant PUBLIC SELECT is not expected"),
        ("CREATE VIEW everyone AS SELECT * FROM customers", "everyone: a view"),
        ("CREATE MATERIALIZED VIEW everyone AS SELECT * FROM customers", "everyone: a view"),
        ("CREATE TABLE lists (id bigint)", "lists: has no tenant_id"),
        (
            "ALTER TABLE customers ADD UNIQUE (public_id, tenant_id)",
            "customers: customers_public_id_tenant_id_key does",
        ),
        ("CREATE UNIQUE INDEX loose ON plans (key, tenant_id)", "plans: loose does not begin with tenant_id"),
        ("DROP TABLE plan_grants_p00", "plan_grants: has 15 partitions"),
        ("ALTER ROLE colonnade_worker BYPASSRLS", "colonnade_worker: has powers of its own"),
        ("GRANT colonnade_owner TO colonnade_platform", "colonnade_platform: is a member of colonnade_owner"),
        (
            "CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM customers'",
            "peek: runs as its owner",
        ),
    ],
)
async def test_a_hole_is_seen(admin: asyncpg.Connection, change: str, fault: str) -> None:
    found = await _run(admin, change)
    assert [line for line in found if line.startswith(fault)], found

"""The migrations on a real server: there, back, and there again; and the models say the same as the tables."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData

from colonnade.database import migrate

from ..conftest import ScratchDatabase, new_database

LEFT_BY_US = """
select relname::text as name from pg_class where relnamespace = 'public'::regnamespace
union all select proname::text from pg_proc where pronamespace = 'public'::regnamespace
union all select polname::text from pg_policy
union all select typname::text from pg_type where typnamespace = 'public'::regnamespace and typname not like '%alembic%'
"""
CONSTRAINTS = """
select c.conname::text as name, c.conrelid::regclass::text as table, c.contype::text as kind, k.columns,
       c.confrelid::regclass::text as referred
from pg_constraint c join pg_class t on t.oid = c.conrelid
cross join lateral (
    select array_agg(a.attname::text order by position) as columns
    from unnest(c.conkey) with ordinality key(number, position)
    join pg_attribute a on a.attrelid = c.conrelid and a.attnum = key.number
) k
where t.relnamespace = 'public'::regnamespace and c.contype in ('p', 'u', 'f', 'c')
  and not t.relispartition and c.conparentid = 0 and t.relname <> 'alembic_version'
"""


@pytest.fixture
def empty(server: str, template: str) -> Iterator[ScratchDatabase]:
    """A database without tables, on a server that has the roles."""
    with new_database(server, "template0") as database:
        yield database


@pytest.fixture
async def admin(database: ScratchDatabase) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.admin_url)
    yield connection
    await connection.close()


async def names(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(LEFT_BY_US)
    await connection.close()
    return {row["name"] for row in rows}


@pytest.mark.slow
async def test_there_and_back_and_there_again(empty: ScratchDatabase) -> None:
    assert await migrate.pending(empty.admin_url) is True
    await migrate.upgrade(empty.admin_url, empty.service_url)
    assert await migrate.pending(empty.admin_url) is False
    there = await names(empty.admin_url)
    assert {"tenants", "customers", "customers_p15", "check_entitlements", "tenant_isolation"} <= there

    await migrate.downgrade(empty.admin_url)
    assert await names(empty.admin_url) == {"alembic_version", "alembic_version_pkc"}
    assert await migrate.pending(empty.admin_url) is True

    await migrate.upgrade(empty.admin_url, empty.service_url)
    assert await names(empty.admin_url) == there
    assert await migrate.drift(empty.admin_url) == []


async def test_upgrading_again_changes_nothing(database: ScratchDatabase) -> None:
    before = await names(database.admin_url)
    await migrate.upgrade(database.admin_url, database.service_url)
    assert await names(database.admin_url) == before


@pytest.mark.slow
async def test_upgrades_at_once_wait_for_each_other(empty: ScratchDatabase) -> None:
    await asyncio.gather(*(migrate.upgrade(empty.admin_url, empty.service_url) for _ in range(3)))
    assert await migrate.pending(empty.admin_url) is False


async def test_a_failing_migration_leaves_nothing(empty: ScratchDatabase) -> None:
    connection = await asyncpg.connect(empty.admin_url)
    await connection.execute("CREATE TABLE subscription_items ()")
    await connection.close()
    with pytest.raises(Exception, match="subscription_items"):
        await migrate.upgrade(empty.admin_url, empty.service_url)
    assert await names(empty.admin_url) == {"subscription_items", "_subscription_items"}


async def test_the_service_sees_whether_a_migration_is_pending(database: ScratchDatabase) -> None:
    assert await migrate.pending(database.service_url) is False


@pytest.mark.parametrize(
    ("change", "operation", "name"),
    [
        ("ALTER TABLE customers ADD COLUMN nickname text", "remove_column", "nickname"),
        ("ALTER TABLE inbox DROP COLUMN reason", "add_column", "reason"),
        ("CREATE TABLE extra (tenant_id bigint)", "remove_table", "extra"),
        ("CREATE TABLE customers_p (tenant_id bigint)", "remove_table", "customers_p"),
        ("DROP TABLE connected_accounts", "add_table", "connected_accounts"),
        ("DROP INDEX ix_inbox_pending", "add_index", "ix_inbox_pending"),
        ("ALTER TABLE features ALTER COLUMN name DROP NOT NULL", "modify_nullable", "name"),
        ("ALTER TABLE plan_grants DROP CONSTRAINT fk_plan_grants_tenant_id_feature_features", "add_fk", "feature"),
    ],
)
async def test_drift_is_found(
    database: ScratchDatabase, admin: asyncpg.Connection, change: str, operation: str, name: str
) -> None:
    assert await migrate.drift(database.admin_url) == []
    await admin.execute(change)
    found = await migrate.drift(database.admin_url)
    assert len(found) == 1
    assert operation in str(found)
    assert name in str(found)


async def test_constraints_follow_the_naming_convention(admin: asyncpg.Connection) -> None:
    rows = await admin.fetch(CONSTRAINTS)
    assert {row["kind"] for row in rows} == {"p", "u", "f", "c"}
    misnamed = [row["name"] for row in rows if not re.fullmatch(_expected(row), row["name"])]
    assert misnamed == []


def _expected(row: asyncpg.Record) -> str:
    columns = "_".join(row["columns"])
    return {
        "p": f"pk_{row['table']}",
        "u": f"uq_{row['table']}_{columns}",
        "f": f"fk_{row['table']}_{columns}_{row['referred']}",
        "c": f"ck_{row['table']}_[a-z_]+",
    }[row["kind"]]


@pytest.mark.parametrize("metadata", migrate.METADATA)
async def test_indexes_are_named_by_the_models(metadata: MetaData, admin: asyncpg.Connection) -> None:
    rows = await admin.fetch("select indexrelid::regclass::text as name from pg_index")
    made = {row["name"] for row in rows}
    declared = {index.name for table in metadata.tables.values() for index in table.indexes}
    assert declared
    assert declared <= made


def test_the_newest_migration_gives_up_rather_than_wait() -> None:
    head = ScriptDirectory(str(migrate.script_location())).get_revision("head")
    source = Path(head.path).read_text()
    for step in ("def upgrade", "def downgrade"):
        body = source.partition(step)[2].partition("\ndef ")[0].splitlines()
        statements = [line.strip() for line in body if line.strip().startswith("op.")]
        assert statements[0] == "op.execute(\"SET LOCAL lock_timeout = '5s'\")"
        assert statements[1] == "op.execute(\"SET LOCAL statement_timeout = '5min'\")"

"""The migrations on a real server: there, back, and there again; and the models say the same as the tables."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from colonnade.database import drift, migrate, revisions
from colonnade.database.revisions import Standing, StrangeSchema

from ..conftest import ScratchDatabase, new_database, run_sql
from .schemas import schema_at, standing_at

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
    assert await standing_at(empty.admin_url) is Standing.PENDING
    await migrate.upgrade(empty.admin_url, empty.service_url)
    assert await standing_at(empty.admin_url) is Standing.CURRENT
    there = await names(empty.admin_url)
    assert {"tenants", "customers", "customers_p15", "check_entitlements", "tenant_isolation"} <= there

    await migrate.downgrade(empty.admin_url)
    assert await names(empty.admin_url) == {"alembic_version", "alembic_version_pkc"}
    assert await standing_at(empty.admin_url) is Standing.PENDING

    await migrate.upgrade(empty.admin_url, empty.service_url)
    assert await names(empty.admin_url) == there
    assert (await migrate.compare(empty.admin_url)).differences == []


async def test_upgrading_again_changes_nothing(database: ScratchDatabase) -> None:
    before = await names(database.admin_url)
    await migrate.upgrade(database.admin_url, database.service_url)
    assert await names(database.admin_url) == before


@pytest.mark.slow
async def test_upgrades_at_once_wait_for_each_other(empty: ScratchDatabase) -> None:
    await asyncio.gather(*(migrate.upgrade(empty.admin_url, empty.service_url) for _ in range(3)))
    assert await standing_at(empty.admin_url) is Standing.CURRENT


async def test_a_failing_migration_leaves_nothing(empty: ScratchDatabase) -> None:
    connection = await asyncpg.connect(empty.admin_url)
    await connection.execute("CREATE TABLE subscription_items ()")
    await connection.close()
    with pytest.raises(Exception, match="subscription_items"):
        await migrate.upgrade(empty.admin_url, empty.service_url)
    assert await names(empty.admin_url) == {"subscription_items", "_subscription_items"}


async def test_the_service_sees_whether_a_migration_is_pending(database: ScratchDatabase) -> None:
    assert await standing_at(database.service_url) is Standing.CURRENT


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE customers ADD COLUMN nickname text", "column customers.nickname is not of this release"),
        ("ALTER TABLE inbox DROP COLUMN reason", "column inbox.reason is missing"),
        ("CREATE TABLE extra (tenant_id bigint)", "table extra is not of this release"),
        ("CREATE TABLE customers_p (tenant_id bigint)", "table customers_p is not of this release"),
        ("DROP TABLE connected_accounts", "table connected_accounts is missing"),
        ("DROP INDEX ix_inbox_pending", "index ix_inbox_pending of inbox is missing"),
        ("CREATE INDEX slow ON inbox (body)", "index slow of inbox is not of this release"),
        ("ALTER TABLE features ALTER COLUMN name DROP NOT NULL", "column features.name: nullable is True, not False"),
        ("ALTER TABLE inbox ALTER COLUMN reason TYPE varchar(9)", "column inbox.reason: type is VARCHAR(9), not TEXT"),
        (
            "ALTER TABLE plan_grants DROP CONSTRAINT fk_plan_grants_tenant_id_feature_features",
            "foreign key fk_plan_grants_tenant_id_feature_features of plan_grants is missing",
        ),
        (
            "ALTER TABLE tenants ADD CONSTRAINT once UNIQUE (name)",
            "constraint once of tenants is not of this release",
        ),
    ],
)
async def test_drift_is_found_and_said_in_words(shared_database: ScratchDatabase, change: str, said: str) -> None:
    """Each in a transaction that is taken back."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(shared_database.admin_url), poolclass=NullPool
    )
    async with engine.connect() as connection:
        await connection.execute(text(change))
        assert await connection.run_sync(drift.differences) == [said]


async def test_the_tables_of_a_fresh_database_do_not_differ(shared_database: ScratchDatabase) -> None:
    assert (await migrate.compare(shared_database.admin_url)).differences == []


REVISIONS = ("0001", "0002", "0004")


@pytest.mark.parametrize(
    ("found", "standing", "words"),
    [
        ((), Standing.PENDING, "empty"),
        (("0002",), Standing.PENDING, "after 0002: 0004."),
        (("0004",), Standing.CURRENT, "0004, the newest"),
        (("0005",), Standing.NEWER, "at 0005, newer than this release, which ends with 0004"),
        (("0003",), Standing.STRANGE, "0003, which is none of this release's migrations (0001 to 0004)"),
        (("0003", "0005"), Standing.STRANGE, "0003, 0005"),
        (("0002", "0004"), Standing.PENDING, "after 0002, 0004"),
    ],
)
def test_a_revision_is_this_releases_a_newer_one_or_strange(
    found: tuple[str, ...], standing: Standing, words: str
) -> None:
    schema = revisions.Schema(frozenset(found), REVISIONS)
    assert schema.standing is standing
    assert words in schema.sentence


def test_the_migrations_ids_rise_in_the_order_in_which_they_run() -> None:
    """So that an id alone says whether an unknown one is newer."""
    scripts = ScriptDirectory(str(revisions.script_location()))
    order = [each.revision for each in scripts.walk_revisions()][::-1]
    assert tuple(order) == revisions.known()
    assert scripts.get_current_head() == order[-1]


@pytest.mark.parametrize("at", ["0000", "9999"])
async def test_what_this_release_does_not_know_is_left_as_it_is(database: ScratchDatabase, at: str) -> None:
    before = await names(database.admin_url)
    await asyncio.to_thread(run_sql, database.admin_url, f"update alembic_version set version_num = '{at}'")
    if at == "9999":
        assert (await migrate.upgrade(database.admin_url, database.service_url)).standing is Standing.NEWER
    else:
        with pytest.raises(StrangeSchema, match="at 0000, which is none of this release's migrations"):
            await migrate.upgrade(database.admin_url, database.service_url)
    schema, differences = await migrate.compare(database.admin_url)
    assert schema == await schema_at(database.service_url)
    assert (schema.found, differences) == ({at}, [])
    assert await names(database.admin_url) == before


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


@pytest.mark.parametrize("metadata", drift.METADATA)
async def test_indexes_are_named_by_the_models(metadata: MetaData, admin: asyncpg.Connection) -> None:
    rows = await admin.fetch("select indexrelid::regclass::text as name from pg_index")
    made = {row["name"] for row in rows}
    declared = {index.name for table in metadata.tables.values() for index in table.indexes}
    assert declared
    assert declared <= made


def test_the_newest_migration_gives_up_rather_than_wait() -> None:
    head = ScriptDirectory(str(revisions.script_location())).get_revision("head")
    source = Path(head.path).read_text()
    for step in ("def upgrade", "def downgrade"):
        body = source.partition(step)[2].partition("\ndef ")[0].splitlines()
        statements = [line.strip() for line in body if line.strip().startswith("op.")]
        assert statements[0] == "op.execute(\"SET LOCAL lock_timeout = '5s'\")"
        assert statements[1] == "op.execute(\"SET LOCAL statement_timeout = '5min'\")"

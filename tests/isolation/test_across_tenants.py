"""Read, insert, update, delete: every table found in the catalogue, every duty, over one connection used again."""

import asyncpg
import pytest

from colonnade.database import row_security
from colonnade.database.connections import create_pool
from colonnade.database.roles import SERVICE_DUTIES, Duty

from ..conftest import ScratchDatabase
from .catalogue import tables
from .conftest import A, B
from .probe import probes, surprises
from .rows import Rows, seed


@pytest.mark.parametrize("duty", SERVICE_DUTIES)
async def test_a_duty_reaches_what_it_should_and_nothing_else(
    shared_database: ScratchDatabase, rows: Rows, duty: Duty
) -> None:
    async with await create_pool(shared_database.service_url, duty, size=1) as pool:
        first = await pool.fetchval("select pg_backend_pid()")
        assert await surprises(pool, duty, rows, [None, A, B, None, A]) == []
        assert await pool.fetchval("select pg_backend_pid()") == first


async def test_every_table_is_probed(shared_database: ScratchDatabase, rows: Rows) -> None:
    admin = await asyncpg.connect(shared_database.admin_url)
    found = {table.name for table in await tables(admin) if table.tenant_column and not table.is_partition}
    await admin.close()
    for target in (A, B):
        for command in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            probed = {p.table.name for p in probes(rows) if p.target == target and p.command == command}
            assert probed == found
    assert {probe.table.name for probe in probes(rows) if probe.target is None} == {
        "api_keys",
        "audit_log",
        "inbox",
        "sweeps",
    }


async def test_a_new_tenant_table_is_probed_without_a_new_test(database: ScratchDatabase) -> None:
    admin = await asyncpg.connect(database.admin_url)
    made = (
        "CREATE TABLE notes (tenant_id bigint, customer_id bigint NOT NULL, id uuid, mood text NOT NULL,"
        " low int, CHECK (mood in ('good', 'bad')), CHECK (num_nonnulls(low) = 1), PRIMARY KEY (tenant_id, id),"
        " FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id)) PARTITION BY HASH (tenant_id)"
    )
    for statement in (f"SET ROLE {Duty.OWNER}", made, *row_security.partition("notes"), "RESET ROLE"):
        await admin.execute(statement)
    rows = await seed(admin, A, B)
    assert "notes" in {probe.table.name for probe in probes(rows)}
    async with await create_pool(database.service_url, Duty.APP, size=1) as pool:
        assert await surprises(pool, Duty.APP, rows, [A, None]) == []
        await admin.execute("DROP POLICY tenant_isolation ON notes; CREATE POLICY open ON notes USING (true)")
        found = await surprises(pool, Duty.APP, rows, [A, None])
    await admin.close()
    assert f"{Duty.APP} as {A}: SELECT FROM notes WHERE tenant_id = {B}: reached, not nothing there" in found
    assert f"{Duty.APP} as None: DELETE FROM notes WHERE tenant_id = {A}: reached, not nothing there" in found
    assert not [line for line in found if "notes" not in line]


async def test_receiving_adds_to_the_inbox_once_and_reads_nothing_back(
    shared_database: ScratchDatabase, rows: Rows
) -> None:
    insert = rows.insert(rows.recipes["inbox"], None)
    async with await create_pool(shared_database.service_url, Duty.INGEST, size=1) as pool:
        assert await pool.execute(f"{insert} ON CONFLICT DO NOTHING") == "INSERT 0 1"
        assert await pool.execute(f"{insert} ON CONFLICT DO NOTHING") == "INSERT 0 0"
        for refused in ("SELECT 1 FROM inbox", f"{insert} RETURNING id", "DELETE FROM inbox", "TABLE tenants"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.execute(refused)

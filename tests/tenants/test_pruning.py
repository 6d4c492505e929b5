"""Each compiled statement reaches one partition of each table, under the generic plan that the service runs with.

As a superuser, whom no policy confines: what prunes is the tenant that the statement itself names.
"""

import importlib
import pkgutil
import re

import asyncpg

import colonnade_tenants
from colonnade_tenants.partition import Statement
from colonnade_tenants.tables import metadata
from tests.conftest import ScratchDatabase

PARTITION = re.compile(r"\b(\w+_p\d\d)\b")


def statements() -> dict[str, Statement]:
    found: dict[str, Statement] = {}
    for module in pkgutil.walk_packages(colonnade_tenants.__path__, "colonnade_tenants."):
        names = vars(importlib.import_module(module.name))
        for name, value in names.items():
            parts = {"": value} | {f".{part}": each for part, each in getattr(value, "__dict__", {}).items()}
            found |= {
                f"{module.name}.{name}{part}": each for part, each in parts.items() if isinstance(each, Statement)
            }
    return found


async def plan_of(connection: asyncpg.Connection, statement: Statement, tenant_id: int) -> str:
    values = ", ".join(str(tenant_id) if argument == "tenant" else "null" for argument in statement.names)
    await connection.execute(f"prepare looked_at as {statement.text}")
    rows = await connection.fetch(f"explain (costs off) execute looked_at ({values})")
    await connection.execute("deallocate looked_at")
    return "\n".join(row[0] for row in rows)


async def test_each_statement_reaches_one_partition_of_each_table(shared_database: ScratchDatabase) -> None:
    reached: dict[str, list[str]] = {}
    connection = await asyncpg.connect(shared_database.admin_url)
    await connection.execute("set plan_cache_mode = force_generic_plan")
    for name, statement in statements().items():
        plan = await plan_of(connection, statement, 41)
        reached[name] = sorted(set(PARTITION.findall(plan)))
    await connection.close()
    tables = {name: {found.rpartition("_p")[0] for found in partitions} for name, partitions in reached.items()}
    assert {name: found for name, found in reached.items() if len(found) != len(tables[name])} == {}
    only_added_to = {"portal_sessions"}  # and an insert's plan names no partition
    by_sessions = {"features", "plan_grants"}  # which compile their statements as they go
    by_functions = {"plans"}
    assert set.union(*tables.values()) == set(metadata.tables) - only_added_to - by_sessions - by_functions


OPENED = """
select (select count(*) from portal_opening(41, 'ada', null, 9)),
    add_portal_visit(41, '{"id": "pvi_1", "customer_id": 1, "configuration": "main", "chosen_by": "default",
        "opened_by": "key_1", "fingerprint": "", "return_url": "https://shop.example"}', 9),
    note_portal_sessions(41, '[{"id": "pvi_1", "customer_id": 1, "session": "bps_1"}]')
"""
SCANNED = """
select regexp_replace(relname, '_p[0-9]+$', '') as of, count(*) from pg_stat_xact_user_tables
where seq_scan + idx_scan > 0 and relname ~ '_p[0-9]+$' group by 1
"""


async def test_what_functions_read_is_in_one_partition_of_each_table(shared_database: ScratchDatabase) -> None:
    connection = await asyncpg.connect(shared_database.admin_url)
    await connection.execute("set plan_cache_mode = force_generic_plan")
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("set local session_replication_role = replica")  # no tenant is needed
    await connection.execute(
        "insert into customers (tenant_id, id, public_id, reference) overriding system value"
        " values (41, 1, 'ecu_1', 'ada')"
    )
    await connection.execute('insert into portal_rules (tenant_id, rules) values (41, \'[{"configuration": "main"}]\')')
    await connection.execute(OPENED)
    scanned = {row["of"]: row["count"] for row in await connection.fetch(SCANNED)}
    await transaction.rollback()
    await connection.close()
    assert scanned.keys() >= {"plans", "subscriptions", "customers", "invoices", "portal_visits"}
    assert set(scanned.values()) == {1}, scanned

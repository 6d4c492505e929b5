"""Try each command on each table's rows of each tenant, and compare with what `expected` says."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from colonnade.database.roles import Duty
from colonnade_tenants.partition import TenantConnection

from .catalogue import Table
from .expected import Access
from .rows import Recipe, Rows


class Probe(NamedTuple):
    """One statement on the rows of one tenant."""

    table: Table
    command: str
    target: int | None
    sql: str


def probes(rows: Rows) -> Iterator[Probe]:
    for recipe in rows.recipes.values():
        targets = rows.tenants_of(recipe.table)
        for target in targets:
            for command, sql in _statements(rows, recipe, target, next(other for other in targets if other != target)):
                yield Probe(recipe.table, command, target, sql)


def _statements(rows: Rows, recipe: Recipe, target: int | None, other: int | None) -> Iterator[tuple[str, str]]:
    name, column = recipe.table.name, recipe.plain_column
    tenant = recipe.table.tenant_column
    chosen = f"{tenant} IS NULL" if target is None else f"{tenant} = {target}"
    yield "SELECT", f"SELECT FROM {name} WHERE {chosen}"
    yield "INSERT", rows.insert(recipe, target)
    yield "UPDATE", f"UPDATE {name} SET {column} = {column} WHERE {chosen}"
    yield "DELETE", f"DELETE FROM {name} WHERE {chosen}"
    if tenant == "tenant_id" and other is not None:
        yield "MOVE", f"UPDATE {name} SET tenant_id = {other} WHERE {chosen}"


def expected(access: Access | None, probe: Probe, own: bool) -> str:
    command = "UPDATE" if probe.command == "MOVE" else probe.command
    if access is None or command not in access.granted:
        return "permission denied"
    if access.may(command, own=own and probe.command != "MOVE"):
        return "reached"
    return "row refused" if command == "INSERT" or (own and probe.command == "MOVE") else "nothing there"


async def outcome(connection: asyncpg.Connection, sql: str) -> str:
    """What a statement meets; its effects are undone."""
    try:
        async with rolled_back(connection):
            tag = await connection.execute(sql)
    except asyncpg.InsufficientPrivilegeError as error:
        return "row refused" if "row-level security" in str(error) else "permission denied"
    except asyncpg.IntegrityConstraintViolationError:
        return "reached"  # row-level security is checked first
    return "nothing there" if tag.endswith(" 0") else "reached"


@asynccontextmanager
async def rolled_back(connection: asyncpg.Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def surprises(pool: asyncpg.Pool, duty: Duty, rows: Rows, tenants: list[int | None]) -> list[str]:
    """Every probe whose outcome is not the expected one, in one transaction for each of *tenants*."""
    found = []
    for tenant in tenants:
        async with pool.acquire() as connection, rolled_back(connection):
            if tenant is not None:
                await TenantConnection.bind(connection, tenant)
            for probe in probes(rows):
                own = tenant is not None and probe.target == tenant
                want = expected(probe.table.access.get(duty), probe, own)
                got = await outcome(connection, probe.sql)
                if got != want:
                    found.append(f"{duty} as {tenant}: {probe.sql}: {got}, not {want}")
    return found

"""Rows for any table, made from the catalogue: a new table needs no new test."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg

from .catalogue import Table, tables

_COLUMNS = """
select a.attname::text as name, format_type(a.atttypid, null) as type,
       a.attnotnull and not a.atthasdef and a.attidentity::text = '' as required,
       not a.attnotnull and a.attname <> $2::text as optional,
       (select pg_get_constraintdef(c.oid) from pg_constraint c
        where c.conrelid = a.attrelid and c.contype = 'c' and c.conkey = array[a.attnum] limit 1) as check
from pg_attribute a
where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated::text = ''
order by a.attnum
"""
_REFERENCES = """
select confrelid::regclass::text as table,
       array(select attname::text from unnest(conkey) with ordinality k(number, place)
             join pg_attribute on attrelid = conrelid and attnum = number order by place) as columns,
       array(select attname::text from unnest(confkey) with ordinality k(number, place)
             join pg_attribute on attrelid = confrelid and attnum = number order by place) as referred
from pg_constraint
where contype = 'f' and conparentid = 0 and conrelid = $1::text::regclass and confrelid <> conrelid
"""
_VALUES = {
    "bigint": "{n}",
    "integer": "{n}",
    "numeric": "{n}",
    "text": "{column}-{n}",
    "bytea": "\\x{n:012x}",
    "boolean": "true",
    "jsonb": "{{}}",
    "text[]": "{{}}",
    "uuid": "00000000-0000-0000-0000-{n:012x}",
    "timestamp with time zone": "2030-01-01 00:00+00",
}
_numbers = itertools.count(1000)


class Recipe(NamedTuple):
    """How to make rows of a table."""

    table: Table
    columns: dict[str, asyncpg.Record]
    references: list[asyncpg.Record]
    filled: tuple[str, ...]

    @property
    def plain_column(self) -> str:
        """A column that any row may be given its own value of."""
        required = [name for name, column in self.columns.items() if column["required"] and name != "tenant_id"]
        return (required or list(self.columns))[0 if required else -1]


@dataclass
class Rows:
    """One row in every table for each of some tenants, and SQL for more."""

    recipes: dict[str, Recipe] = field(default_factory=dict)
    seeded: dict[tuple[str, int | None], asyncpg.Record] = field(default_factory=dict)

    def insert(self, recipe: Recipe, tenant: int | None) -> str:
        """An INSERT of a new row of *tenant*, which refers to that tenant's rows."""
        values = {name: _value(recipe.columns[name]) for name in recipe.filled}
        for reference in recipe.references:
            for column, referred in zip(reference["columns"], reference["referred"], strict=True):
                if column in values:
                    values[column] = str(self.seeded[reference["table"], tenant][referred])
        literals = [f"'{value}'::{recipe.columns[name]['type']}" for name, value in values.items()]
        columns = ", ".join([*values, str(recipe.table.tenant_column)])
        own = "NULL" if tenant is None else str(tenant)
        overriding = "OVERRIDING SYSTEM VALUE" if recipe.table.tenant_column == "id" else ""
        return f"INSERT INTO {recipe.table.name} ({columns}) {overriding} VALUES ({', '.join([*literals, own])})"

    def tenants_of(self, table: Table) -> list[int | None]:
        return [tenant for name, tenant in self.seeded if name == table.name]


def _value(column: asyncpg.Record) -> str:
    allowed = re.search(r"'([^']*)'::text", column["check"] or "")
    return allowed[1] if allowed else _VALUES[column["type"]].format(column=column["name"], n=next(_numbers))


async def seed(admin: asyncpg.Connection, *tenants: int) -> Rows:
    """Give every table that tells tenants apart a row of each tenant, and one of none where it allows that."""
    rows = Rows()
    waiting = [table for table in await tables(admin) if table.tenant_column and not table.is_partition]
    while waiting:
        ready = [table for table in waiting if await _refers_only_to(admin, table, rows.recipes)]
        assert ready, f"these tables refer to each other: {waiting}"
        for table in ready:
            await _seed(admin, rows, table, tenants)
            waiting.remove(table)
    return rows


async def _refers_only_to(admin: asyncpg.Connection, table: Table, known: dict[str, Recipe]) -> bool:
    return {row["table"] for row in await admin.fetch(_REFERENCES, table.name)} <= known.keys()


async def _seed(admin: asyncpg.Connection, rows: Rows, table: Table, tenants: tuple[int, ...]) -> None:
    found = await admin.fetch(_COLUMNS, table.name, table.tenant_column)
    columns = {row["name"]: row for row in found}
    references = await admin.fetch(_REFERENCES, table.name)
    for filled in _attempts(found, str(table.tenant_column)):
        recipe = Recipe(table, columns, references, filled)
        try:
            await _insert(admin, rows, recipe, *tenants)
        except asyncpg.CheckViolationError:
            continue
        break
    else:
        raise AssertionError(f"no combination of columns satisfies the checks of {table.name}")
    rows.recipes[table.name] = recipe
    if not columns[str(table.tenant_column)]["required"] and table.tenant_column == "tenant_id":
        await _insert(admin, rows, recipe, None)


def _attempts(columns: list[asyncpg.Record], tenant_column: str) -> Iterator[tuple[str, ...]]:
    """The columns that must have a value; then with one or two optional ones, which a CHECK may ask for."""
    required = tuple(row["name"] for row in columns if row["required"] and row["name"] != tenant_column)
    optional = [row["name"] for row in columns if row["optional"]]
    for more in range(3):
        yield from (required + extra for extra in itertools.combinations(optional, more))


async def _insert(admin: asyncpg.Connection, rows: Rows, recipe: Recipe, *tenants: int | None) -> None:
    async with admin.transaction():
        for tenant in tenants:
            row = await admin.fetchrow(f"{rows.insert(recipe, tenant)} RETURNING *")
            rows.seeded[recipe.table.name, tenant] = row

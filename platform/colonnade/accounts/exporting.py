"""Everything of a tenant, or of one of its customers, as lines of JSON.

Each page is a transaction of its own, so that a slow reader holds nothing up, and nothing grows with the tenant. Every
line has its place: an export that was cut off goes on from the last line that was read. What changes meanwhile is as it
was when its page was read; to have all as of one moment, archive the tenant first.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec
from sqlalchemy import BigInteger, DateTime, Integer
from sqlalchemy.dialects import postgresql

from colonnade.accounts.holdings import EXPORTED, OF_CUSTOMER, TO_TENANT, Holding
from colonnade.errors import Invalid
from colonnade.web import aware_time, cursor, from_cursor
from colonnade.webhooks.payload import shown
from colonnade_tenants.partition import TenantConnection

FORMAT = 1
PAGE = 200
"""Rows read at once; of those that may be large, fewer."""
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
PAGES = {"inbox": 20, "branding_images": 1}


class Subject(NamedTuple):
    """Whose rows: the tenant's, or those of one customer, who has *objects* at Stripe.

    *for_tenant*: the tenant itself reads them, and is not told who of the platform acted.
    """

    tenant_id: int
    tenant: str
    customer_id: int | None = None
    customer: str | None = None
    objects: Sequence[str] = ()
    for_tenant: bool = False

    @property
    def whose(self) -> list[str | None]:
        """The tenant and its customer, by their ids; None: all of the tenant."""
        return [self.tenant, self.customer]

    @property
    def holdings(self) -> list[Holding]:
        """The tables with rows of it."""
        return [each for each in EXPORTED if self.customer_id is None or each.name in OF_CUSTOMER]

    def condition(self, holding: Holding) -> str:
        """Which rows of the table; SQL with `arguments`."""
        own = f'"{holding.own}" = $1'
        if self.customer_id is None:
            return f"{own} and $2::bigint is null and $3::text[] is not null"
        named = OF_CUSTOMER[holding.name]
        # Every statement takes the same arguments.
        return f"{own} and ({named}) and $2::bigint is not null and $3::text[] is not null"

    @property
    def arguments(self) -> tuple[int, int | None, list[str]]:
        """Of every statement about it."""
        return self.tenant_id, self.customer_id, list(self.objects)


class Place(msgspec.Struct, array_like=True):
    """A line's place: its table, the key of its row, and whose export it is of."""

    table: str
    key: list[str]
    whose: list[str | None]


class _Row(NamedTuple):
    key: list[str]
    line: bytes


def place(subject: Subject, after: str | None) -> Place | None:
    """Where to go on from. Raises `Invalid`."""
    if (text := from_cursor(after)) is None:
        return None
    try:
        found = msgspec.json.decode(text, type=Place)
        if found.whose != subject.whose:
            raise ValueError(found.whose)
        holding = next(each for each in subject.holdings if each.name == found.table)
        found.key = [_checked(column.type, value) for column, value in zip(holding.key, found.key, strict=True)]
    except (msgspec.MsgspecError, StopIteration, ValueError) as error:
        raise Invalid("This is not the `cursor` of a line of this export.", "after") from error
    return found


def _checked(kind: Any, value: str) -> str:
    """*value* as the database reads it: it knows fewer ways than Python to write a number or a time."""
    if isinstance(kind, BigInteger | Integer):
        if not -(2**63) <= int(value) < 2**63:
            raise ValueError(value)
        return str(int(value))
    if isinstance(kind, DateTime):
        return str(aware_time(value))
    if not value.isprintable():
        raise ValueError(value)
    return value


def head(tenant: str) -> bytes:
    """What the first line of every export of the tenant begins with."""
    return msgspec.json.encode({"format": FORMAT, "tenant": tenant})[:-1]


async def counts(connection: asyncpg.Connection, subject: Subject) -> dict[str, int]:
    """How many rows there are of it in each table. The connection reaches the tenant's rows."""
    found = {}
    for holding in subject.holdings:
        query = f"select count(*) from {holding.name} where {subject.condition(holding)}"  # noqa: S608
        found[holding.name] = await connection.fetchval(query, *subject.arguments)
    return found


async def lines(pool: asyncpg.Pool, subject: Subject, after: Place | None) -> AsyncIterator[bytes]:
    """The header, every row that follows *after*, and the end, without which the export is not whole."""
    async with _reading(pool, subject) as connection:
        numbers = await counts(connection, subject)
    header = {
        "format": FORMAT,
        "tenant": subject.tenant,
        "customer": subject.customer,
        "exported_at": datetime.now(UTC),
        "continued": after is not None,
        "counts": numbers,
    }
    yield msgspec.json.encode(header) + b"\n"  # it begins with `head`
    written = 0
    began = after is None
    for holding in subject.holdings:
        began = began or (after is not None and after.table == holding.name)
        if not began:
            continue
        key = after.key if after is not None and after.table == holding.name else None
        while rows := await _page(pool, subject, holding, key):
            for row in rows:
                yield row.line
            written += len(rows)
            key = rows[-1].key
            if not holding.key:
                break
    yield msgspec.json.encode({"end": True, "rows": written}) + b"\n"


async def _page(pool: asyncpg.Pool, subject: Subject, holding: Holding, after: list[str] | None) -> list[_Row]:
    if after is not None and not holding.key:
        return []
    size = PAGES.get(holding.name, PAGE)
    async with _reading(pool, subject) as connection:
        found = await connection.fetch(_query(subject, holding, after), *subject.arguments, after, size)
    return [_row(subject, holding, each) for each in found]


def _query(subject: Subject, holding: Holding, after: list[str] | None) -> str:
    columns = ", ".join(_column(subject, holding, name) for name in holding.columns)
    key = ", ".join(f'"{each.name}"::text' for each in holding.key)
    body = "body" if holding.name == "inbox" else "null::bytea"
    following = "$4::text[] is null"
    if after is not None:
        given = ", ".join(
            f"($4::text[])[{number}]::{each.type.compile(_DIALECT)}" for number, each in enumerate(holding.key, 1)
        )
        following = f"({holding.order}) > ({given})"
    order = f"order by {holding.order}" if holding.key else ""
    return f"""
    select array[{key}]::text[] as key, {body} as body, to_jsonb((select r from (select {columns}) r))::text as row
    from {holding.name} where {subject.condition(holding)} and {following} {order} limit $5
    """  # noqa: S608 - only our own names are put in


def _column(subject: Subject, holding: Holding, name: str) -> str:
    told = TO_TENANT.get((holding.name, name)) if subject.for_tenant else None
    return f'"{name}"' if told is None else f'{told} as "{name}"'


def _row(subject: Subject, holding: Holding, found: asyncpg.Record) -> _Row:
    key = list(found["key"])
    line: dict[str, Any] = {"table": holding.name, "row": msgspec.Raw(found["row"].encode())}
    if found["body"] is not None:
        line["payload"] = shown(found["body"])
    line["cursor"] = cursor(msgspec.json.encode(Place(holding.name, key, subject.whose)).decode())
    return _Row(key, msgspec.json.encode(line) + b"\n")


@asynccontextmanager
async def _reading(pool: asyncpg.Pool, subject: Subject) -> AsyncIterator[asyncpg.Connection]:
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        await TenantConnection.bind(connection, subject.tenant_id)
        yield connection

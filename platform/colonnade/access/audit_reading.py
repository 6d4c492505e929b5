"""Reading the audit log: pages, newest first; and an export, oldest first."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from colonnade.access.principals import Kind
from colonnade.database.connections import Database
from colonnade.errors import NotFound

BATCH = 500
"""Lines that an export reads at a time."""

# Filters are equal parts of one statement, so that each stays a plain comparison with a parameter or is null.
_CONDITIONS = """
    ($1::bigint is null or a.tenant_id = $1) and ($2::text is null or a.action = $2)
    and ($3::text is null or a.by_id = $3 and ($9::text is null or a.by_kind = $9))
    and ($4::text is null or a.target = $4 or a.target like $5)
    and ($6::text is null or a.request_id = $6)
    and ($7::timestamptz is null or a.at >= $7) and ($8::timestamptz is null or a.at < $8)
"""
_LINES = """
select a.id as place, a.public_id as id, a.at, a.action, a.by_kind, a.by_id, t.public_id as tenant, a.target,
    a.before::text, a.after::text, a.request_id
from audit_log a left join tenants t on t.id = a.tenant_id
"""
_PAGE = f"{_LINES} where {_CONDITIONS} and ($10::bigint is null or a.id < $10) order by a.id desc limit $11"
_EXPORT = f"{_LINES} where {_CONDITIONS} and a.id > $10::bigint order by a.id limit $11"


class By(Struct, frozen=True):
    """Who did it: *id* is `key_…`, a person, or a part of the program; null: somebody on the platform's side."""

    kind: Kind
    id: str | None


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One line of the audit log.

    *action*: a thing and what became of it. *target*: its path below `/v1/`. *before* and *after*: the fields that
    were changed, where the action has some. *request_id*: of the request that did it.
    """

    id: str
    at: datetime
    action: str
    by: By
    tenant: str | None
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str | None


class Filter(Struct, frozen=True, kw_only=True):
    """Which lines: those to which all that is given applies. *target* stands for what is below it too."""

    tenant_id: int | None = None
    action: str | None = None
    by: str | None = None
    target: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def arguments(self, *, for_tenant: bool) -> tuple[Any, ...]:
        """The parameters of `_CONDITIONS`, in order. A tenant finds nobody by an id that it is not shown."""
        below = None if self.target is None else f"{_escaped(self.target)}/%"
        shown = Kind.TENANT_KEY if for_tenant else None
        times = (self.since, self.until)
        return (self.tenant_id, self.action, self.by, self.target, below, self.request_id, *times, shown)


async def tenant_id(database: Database, public_id: str | None) -> int | None:
    """The internal id of a tenant. Raises `NotFound`."""
    if public_id is None:
        return None
    found: int | None = await database.platform_pool.fetchval("select id from tenants where public_id = $1", public_id)
    if found is None:
        raise NotFound(f"No such tenant: {public_id!r}.", "tenant")
    return found


async def page(
    database: Database, wanted: Filter, after: int | None, limit: int, *, for_tenant: bool
) -> list[tuple[int, AuditEntry]]:
    """At most *limit* lines before the place *after*, newest first, each with its place."""
    rows = await database.platform_pool.fetch(_PAGE, *wanted.arguments(for_tenant=for_tenant), after, limit)
    return [(row["place"], _entry(row, for_tenant=for_tenant)) for row in rows]


async def export(database: Database, wanted: Filter, place: int, *, for_tenant: bool) -> AsyncIterator[bytes]:
    """The lines as JSON, one on each line, oldest first, those after *place*."""
    encode = msgspec.json.Encoder().encode
    conditions = wanted.arguments(for_tenant=for_tenant)
    while rows := await database.platform_pool.fetch(_EXPORT, *conditions, place, BATCH):
        yield b"".join(encode(_entry(row, for_tenant=for_tenant)) + b"\n" for row in rows)
        place = rows[-1]["place"]


async def place_of(database: Database, wanted: Filter, line: str | None) -> int:
    """The place of the line with this id; None: before the first. Raises `NotFound`."""
    if line is None:
        return 0
    found: int | None = await database.platform_pool.fetchval(
        "select id from audit_log where public_id = $1 and ($2::bigint is null or tenant_id = $2)",
        line,
        wanted.tenant_id,
    )
    if found is None:
        raise NotFound("There is no such line.", "after")
    return found


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _entry(row: asyncpg.Record, *, for_tenant: bool) -> AuditEntry:
    kind = Kind(row["by_kind"])
    hidden = for_tenant and kind is not Kind.TENANT_KEY
    return AuditEntry(
        id=row["id"],
        at=row["at"],
        action=row["action"],
        by=By(kind, None if hidden else row["by_id"]),
        tenant=row["tenant"],
        target=row["target"],
        before=_object(row["before"]),
        after=_object(row["after"]),
        request_id=row["request_id"],
    )


def _object(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text)

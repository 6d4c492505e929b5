"""Failed calls of operators' own handlers: what failed, and to make them once more without the core handler."""

import re
from datetime import datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy import ColumnElement, Select, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from colonnade.database.connections import Database
from colonnade.database.tables import extension_calls, inbox, tenants
from colonnade.errors import Conflict, Invalid, NotFound
from colonnade.web import Page, as_it_is, from_cursor, page_of
from colonnade.webhooks.states import CallState
from colonnade.webhooks.writer import CHANNEL

log = structlog.get_logger()


class CallView(msgspec.Struct, frozen=True):
    """A call that failed at first; *reason* is what the handler raised last.

    It is `pending` until it succeeds, or is `dead` after its last try.
    """

    id: str
    event: str
    type: str
    extension: str
    tenant: str
    state: CallState
    attempts: int
    reason: str | None
    next_attempt_at: datetime | None
    done_at: datetime | None


class CallFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which calls; a field that is None filters nothing."""

    state: CallState | None = None
    extension: str | None = None
    tenant: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Of a statement on `extension_calls` joined to `tenants`."""
        found = {
            extension_calls.c.state: self.state,
            extension_calls.c.extension: self.extension,
            tenants.c.public_id: self.tenant,
        }
        return [column == value for column, value in found.items() if value is not None]


class CallsReplayed(msgspec.Struct, frozen=True):
    """How many calls are made once more."""

    calls: int


_CALLS = select(
    extension_calls.c.id.label("place"),
    inbox.c.event_id.label("event"),
    inbox.c.type,
    tenants.c.public_id.label("tenant"),
    extension_calls.c.not_before.label("next_attempt_at"),
    *(extension_calls.c[name] for name in ("extension", "state", "attempts", "reason", "done_at")),
).select_from(
    extension_calls.join(inbox, inbox.c.id == extension_calls.c.inbox_id).join(
        tenants, tenants.c.id == extension_calls.c.tenant_id
    )
)
_PREFIX = "ext_"


def _view(row: Any) -> CallView:
    found = {name: row[name] for name in CallView.__struct_fields__ if name != "id"}
    hidden = {} if row["state"] == "pending" else {"next_attempt_at": None}
    return CallView(id=f"{_PREFIX}{row['place']}", **found | hidden)


def _number(text: str | None) -> int | None:
    found = re.fullmatch(f"{_PREFIX}([0-9]{{1,18}})", text or "")
    return int(found[1]) if found else None


async def page(database: Database, wanted: CallFilter, after: str | None, limit: int) -> Page[CallView]:
    """Calls that failed at first, of all tenants, the newest first. Raises `Invalid`."""
    found = _CALLS.where(*wanted.conditions()).order_by(extension_calls.c.id.desc()).limit(limit + 1)
    if (text_after := from_cursor(after)) is not None:
        if (place := _number(text_after)) is None:
            raise Invalid("This is not the `next` of a page.", "after")
        found = found.where(extension_calls.c.id < place)
    async with database.platform() as connection:
        views = [_view(row) for row in (await connection.execute(found)).mappings()]
    return page_of(views, limit, lambda each: each.id, as_it_is)


async def replay(database: Database, call_id: str, by: str) -> CallView:
    """Make a call once more, with all its tries. Raises `NotFound`, and `Conflict` if it has succeeded."""
    mine = _CALLS.where(extension_calls.c.id == _number(call_id))
    async with database.platform() as connection:
        row = (await connection.execute(mine.with_for_update(of=extension_calls))).mappings().one_or_none()
        if row is None:
            raise NotFound(f"No such call: {call_id!r}.", "call")
        if row["state"] == "done":
            raise Conflict("It has succeeded. To have it once more, replay its event.", "call")
        await _queue(connection, extension_calls.c.id == row["place"])
        log.info("extension call replayed", call=call_id, event_id=row["event"], by=by)
        return _view((await connection.execute(mine)).mappings().one())


async def replay_many(database: Database, wanted: CallFilter, by: str) -> CallsReplayed:
    """Make all calls once more that *wanted* names and that are not done. Raises `Invalid`."""
    if wanted == CallFilter():
        raise Invalid("Name at least one of state, extension, tenant.", "state")
    chosen: Select[Any] = _CALLS.with_only_columns(extension_calls.c.id).where(*wanted.conditions())
    async with database.platform() as connection:
        calls = await _queue(connection, extension_calls.c.id.in_(chosen))
    log.info("extension calls replayed", calls=calls, by=by)
    return CallsReplayed(calls)


async def _queue(connection: AsyncConnection, chosen: ColumnElement[bool]) -> int:
    values = {"state": "pending", "attempts": 0, "not_before": func.now(), "done_at": None}
    done = await connection.execute(
        update(extension_calls).where(chosen, extension_calls.c.state != "done").values(values)
    )
    await connection.execute(text(f"notify {CHANNEL}"))
    return done.rowcount

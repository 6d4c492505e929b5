"""What operators do with events: release, ignore, replay one, replay many. Each is noted with the event."""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Select, Update, and_, func, null, or_, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from colonnade.access import audit
from colonnade.database.connections import Database
from colonnade.database.tables import inbox, tenants
from colonnade.errors import Conflict, Invalid, NotFound
from colonnade.webhooks.envelope import decode
from colonnade.webhooks.events import EVENTS, EventView, Filter, check_tenant, fields
from colonnade.webhooks.inbox import REMOVED
from colonnade.webhooks.writer import CHANNEL

BATCH = 1000
"""Events of one transaction of a replay of many."""
BY_HAND = "ignored by hand"
OTHER_MODE = "It is of Stripe's other mode."
_QUEUED = {
    "state": "pending",
    "attempts": 0,
    "not_before": func.now(),
    "done_at": None,
    "reason": None,
    "error": None,
    "evidence": null(),
    "tenant_id": None,
    "rung": None,
}
# An event of Stripe's other mode is never applied, of a stub nothing is left. One that waits for its next try may be
# tried now.
_REPLAYABLE = and_(
    or_(inbox.c.state != "pending", inbox.c.not_before > func.now()),
    or_(inbox.c.state != "ignored", inbox.c.reason.not_in(("livemode", REMOVED))),
)
# Nothing tried these: `receive` could not read them.
_UNREADABLE = and_(inbox.c.state == "dead", inbox.c.attempts == 0)
# Noted with what is done by hand: whether a worker had come to an outcome by then, which a trace's root tells.
_SETTLED = and_(inbox.c.state.not_in(("pending", "held")), ~_UNREADABLE, func.coalesce(inbox.c.reason, "") != BY_HAND)


class Replayed(msgspec.Struct, frozen=True):
    """How many events were put back into the queue, or would be."""

    dry_run: bool
    events: int
    by_type: dict[str, int]
    by_state: dict[str, int]


def _noted(statement: Update, action: str, by: str) -> Update:
    note = func.jsonb_build_object("action", action, "at", func.now(), "by", by, "settled", _SETTLED, type_=JSONB)
    return statement.values(actions=inbox.c.actions.op("||")(func.jsonb_build_array(note, type_=JSONB)))


async def _row(connection: AsyncConnection, event_id: str) -> RowMapping:
    """The event, locked. Raises `NotFound`."""
    found = EVENTS.add_columns(inbox.c.body).where(inbox.c.event_id == event_id).with_for_update(of=inbox)
    row = (await connection.execute(found)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"No such event: {event_id!r}.", "event")
    return row


async def _change(connection: AsyncConnection, event_id: str, action: str, by: str, **values: Any) -> EventView:
    changed = _noted(update(inbox).where(inbox.c.event_id == event_id), action, by).values(values)
    await connection.execute(changed)
    row = (await connection.execute(EVENTS.where(inbox.c.event_id == event_id))).mappings().one()
    if row["state"] == "pending":
        await connection.execute(text(f"notify {CHANNEL}"))
    return EventView(**fields(row))


async def release(database: Database, event_id: str, by: str) -> EventView:
    """Attribute a quarantined event anew. Raises `NotFound`, and `Conflict` if it is not quarantined."""
    async with database.platform() as connection:
        if (await _row(connection, event_id))["state"] != "quarantined":
            raise Conflict("It is not in quarantine.", "event")
        return await _change(connection, event_id, "released", by, **_QUEUED)


async def ignore(database: Database, event_id: str, by: str) -> EventView:
    """Take the event out for good. Raises `NotFound`, and `Conflict` if it is done or ignored already."""
    async with database.platform() as connection:
        row = await _row(connection, event_id)
        if row["state"] in ("done", "ignored"):
            raise Conflict(f"It is {row['state']} already.", "event")
        values = {"state": "ignored", "reason": BY_HAND, "done_at": func.now()}
        return await _change(connection, event_id, "ignored", by, **values)


async def replay(database: Database, event_id: str, by: str) -> EventView:
    """Put the event back into the queue, to be attributed and handled anew. Raises `NotFound`, `Conflict`.

    One that could not be read when it came is read anew: perhaps a newer version of this program can.
    """
    async with database.platform() as connection:
        row = await _row(connection, event_id)
        replayable = select(_REPLAYABLE, _UNREADABLE).select_from(inbox).where(inbox.c.event_id == event_id)
        may, unreadable = (await connection.execute(replayable)).one()
        if not may:
            raise Conflict(_not_replayable(row), "event")
        read = _read(row) if unreadable else {}
        return await _change(connection, event_id, "replayed", by, **_QUEUED, **read)


def _not_replayable(row: RowMapping) -> str:
    if row["state"] == "pending":
        return "It is in the queue already."
    return "Its payload was removed, with whom it was about." if row["reason"] == REMOVED else OTHER_MODE


def _read(row: RowMapping) -> dict[str, Any]:
    try:
        envelope = decode(row["body"])
    except Invalid as error:
        raise Conflict(f"It still cannot be read. {error}", "event") from error
    if envelope.livemode != row["livemode"]:
        raise Conflict(OTHER_MODE, "event")
    return {name: value for name, value in envelope._asdict().items() if name not in ("event_id", "livemode")}


async def replay_many(database: Database, wanted: Filter, by: str, *, dry_run: bool) -> Replayed:
    """Replay all events that *wanted* names, oldest first; with *dry_run* only count them. Raises `Invalid`."""
    if wanted == Filter():
        raise Invalid("Name at least one of type, tenant, state, from, to.", "type")
    if dry_run:
        audit.nothing_done()
    times = {"from": wanted.created_from, "to": wanted.created_to}
    audit.note(after=audit.named(wanted, "type", "tenant", "state") | times)
    async with database.platform() as connection:
        await check_tenant(connection, wanted)
        last = await connection.scalar(select(func.max(inbox.c.id))) or 0
        counted = _chosen(wanted, inbox.c.type, inbox.c.state, func.count()).group_by(inbox.c.type, inbox.c.state)
        groups = (await connection.execute(counted)).all()
    done = 0 if dry_run else await _replay_to(database, wanted, last, by)
    by_type: dict[str, int] = {}
    by_state: dict[str, int] = {}
    for event_type, state, count in groups:
        by_type[event_type] = by_type.get(event_type, 0) + count
        by_state[state] = by_state.get(state, 0) + count
    return Replayed(dry_run, sum(by_type.values()) if dry_run else done, by_type, by_state)


def _chosen(wanted: Filter, *columns: ColumnElement[Any]) -> Select[Any]:
    joined = inbox.outerjoin(tenants, tenants.c.id == inbox.c.tenant_id)
    return select(*columns).select_from(joined).where(_REPLAYABLE, ~_UNREADABLE, *wanted.conditions())


async def _replay_to(database: Database, wanted: Filter, last: int, by: str) -> int:
    """In transactions of `BATCH`, up to the row *last*: what comes meanwhile is not chased."""
    done = place = 0
    while True:
        async with database.platform() as connection:
            ids = _chosen(wanted, inbox.c.id).where(inbox.c.id > place, inbox.c.id <= last)
            batch = list(await connection.scalars(ids.order_by(inbox.c.id).limit(BATCH)))
            if not batch:
                return done
            chosen = update(inbox).where(inbox.c.id.in_(batch), _REPLAYABLE).values(_QUEUED)
            done += (await connection.execute(_noted(chosen, "replayed", by))).rowcount
            await connection.execute(text(f"notify {CHANNEL}"))
            place = batch[-1]

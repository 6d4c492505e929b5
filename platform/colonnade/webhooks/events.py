"""The inbox as operators see it: lists without payloads, and replay."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Select, func, or_, select, text, update

from colonnade.database.tables import inbox, tenants
from colonnade.errors import Conflict, Invalid, NotFound
from colonnade.services import Services
from colonnade.web import Page, cursor, from_cursor
from colonnade.webhooks.inbox import State
from colonnade.webhooks.writer import CHANNEL
from colonnade_tenants.partition import TENANT


class EventView(msgspec.Struct):
    """An event of the inbox, without its payload.

    *attributed_by* names what said whose it is; *reason* says why it is ignored, quarantined, dead, or still pending.
    """

    id: str
    type: str
    object: str
    endpoint: str
    account: str | None
    tenant: str | None
    state: State
    attributed_by: str | None
    reason: str | None
    attempts: int
    api_version: str | None
    livemode: bool
    created_at: datetime
    received_at: datetime
    next_attempt_at: datetime | None
    done_at: datetime | None


class Filter(msgspec.Struct, frozen=True):
    """Which events; a field that is None filters nothing."""

    state: State | None = None
    type: str | None = None
    tenant: str | None = None


_EVENTS = select(
    inbox.c.id.label("place"),
    inbox.c.event_id.label("id"),
    inbox.c.object_id.label("object"),
    inbox.c.rung.label("attributed_by"),
    inbox.c.created.label("created_at"),
    inbox.c.not_before.label("next_attempt_at"),
    tenants.c.public_id.label("tenant"),
    *(
        inbox.c[name]
        for name in (
            *("type", "endpoint", "account", "state", "reason", "attempts"),
            *("api_version", "livemode", "received_at", "done_at"),
        )
    ),
).select_from(inbox.outerjoin(tenants, tenants.c.id == inbox.c.tenant_id))


def _view(row: Any) -> EventView:
    fields = dict(row)
    fields.pop("place", None)
    if fields["state"] != "pending":
        fields["next_attempt_at"] = None
    return EventView(**fields)


def _place(after: str | None) -> int | None:
    value = from_cursor(after)
    if value is not None and not (value.isascii() and value.isdigit() and len(value) < 19):
        raise Invalid("This is not the `next` of a page.", "after")
    return None if value is None else int(value)


def _select(wanted: Filter, after: str | None, limit: int) -> Select[Any]:
    found = _EVENTS.order_by(inbox.c.id.desc()).limit(limit + 1)
    columns = ((inbox.c.state, wanted.state), (inbox.c.type, wanted.type), (tenants.c.public_id, wanted.tenant))
    for column, value in columns:
        if value is not None:
            found = found.where(column == value)
    place = _place(after)
    return found if place is None else found.where(inbox.c.id < place)


def _page(rows: list[Any], limit: int) -> Page[EventView]:
    more = len(rows) > limit
    return Page([_view(row) for row in rows[:limit]], cursor(str(rows[limit - 1]["place"])) if more else None)


async def page(services: Services, wanted: Filter, after: str | None, limit: int) -> Page[EventView]:
    """Events of all tenants and of none, newest first. Raises `Invalid`."""
    async with services.database.platform() as connection:
        if wanted.tenant is not None:
            known = select(tenants.c.id).where(tenants.c.public_id == wanted.tenant)
            if await connection.scalar(known) is None:
                raise Invalid(f"No such tenant: {wanted.tenant!r}.", "tenant")
        rows = (await connection.execute(_select(wanted, after, limit))).mappings().all()
    return _page(list(rows), limit)


async def tenant_page(
    services: Services, tenant_id: int, wanted: Filter, after: str | None, limit: int
) -> Page[EventView]:
    """One tenant's events, newest first. Raises `Invalid`."""
    found = _select(wanted, after, limit).where(inbox.c.tenant_id == TENANT)
    async with services.database.tenant(tenant_id) as session:
        rows = (await session.execute(found)).mappings().all()
    return _page(list(rows), limit)


# An event of Stripe's other mode is never applied. One that waits for its next try may be tried now.
_REPLAY = (
    update(inbox)
    .where(or_(inbox.c.state != "pending", inbox.c.not_before > func.now()))
    .where(or_(inbox.c.state != "ignored", inbox.c.reason != "livemode"))
    .values(state="pending", attempts=0, not_before=func.now(), done_at=None, reason=None, tenant_id=None, rung=None)
)


async def replay(services: Services, event_id: str) -> EventView:
    """Put the event back into the queue, to be attributed and handled anew. Raises `NotFound`, `Conflict`."""
    async with services.database.platform() as connection:
        done = await connection.execute(_REPLAY.where(inbox.c.event_id == event_id))
        row = (await connection.execute(_EVENTS.where(inbox.c.event_id == event_id))).mappings().one_or_none()
        if row is None:
            raise NotFound(f"No such event: {event_id!r}.", "event")
        if done.rowcount == 0:
            waiting = row["state"] == "pending"
            raise Conflict("It is in the queue already." if waiting else "It is of Stripe's other mode.", "event")
        await connection.execute(text(f"notify {CHANNEL}"))
    return _view(row)

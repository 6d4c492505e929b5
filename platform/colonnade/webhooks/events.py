"""The inbox as operators and tenants see it: lists without payloads, and one event with its payload and journey."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from colonnade.database.connections import Database
from colonnade.database.tables import inbox, tenants
from colonnade.errors import Invalid
from colonnade.web import Page, number_from_cursor, page_of
from colonnade.webhooks.states import State
from colonnade_tenants.partition import TENANT


class EventView(msgspec.Struct, kw_only=True):
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


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events; a field that is None filters nothing. *created_from* is included, *created_to* is not."""

    state: State | None = None
    type: str | None = None
    tenant: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Of a statement on `inbox`, outer-joined to `tenants` if there is a *tenant*."""
        found = [
            None if self.state is None else inbox.c.state == self.state,
            None if self.type is None else inbox.c.type == self.type,
            None if self.tenant is None else tenants.c.public_id == self.tenant,
            None if self.created_from is None else inbox.c.created >= self.created_from,
            None if self.created_to is None else inbox.c.created < self.created_to,
        ]
        return [condition for condition in found if condition is not None]


EVENTS = select(
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


def fields(row: Any) -> dict[str, Any]:
    """The fields of an `EventView`, of a row of `EVENTS`."""
    found = {name: row[name] for name in EventView.__struct_fields__}
    return found if row["state"] == "pending" else found | {"next_attempt_at": None}


def _select(wanted: Filter, after: str | None, limit: int) -> Select[Any]:
    found = EVENTS.order_by(inbox.c.id.desc()).limit(limit + 1).where(*wanted.conditions())
    place = number_from_cursor(after)
    return found if place is None else found.where(inbox.c.id < place)


def _page(rows: Sequence[RowMapping], limit: int) -> Page[EventView]:
    return page_of(rows, limit, lambda row: row["place"], lambda row: EventView(**fields(row)))


async def check_tenant(connection: AsyncConnection, wanted: Filter) -> None:
    """Refuse the filter for a tenant that does not exist. Raises `Invalid`."""
    known = select(tenants.c.id).where(tenants.c.public_id == wanted.tenant)
    if wanted.tenant is not None and await connection.scalar(known) is None:
        raise Invalid(f"No such tenant: {wanted.tenant!r}.", "tenant")


async def page(database: Database, wanted: Filter, after: str | None, limit: int) -> Page[EventView]:
    """Events of all tenants and of none, newest first. Raises `Invalid`."""
    async with database.platform() as connection:
        await check_tenant(connection, wanted)
        rows = (await connection.execute(_select(wanted, after, limit))).mappings().all()
    return _page(rows, limit)


async def tenant_page(
    database: Database, tenant_id: int, wanted: Filter, after: str | None, limit: int
) -> Page[EventView]:
    """One tenant's events, newest first. Raises `Invalid`."""
    found = _select(wanted, after, limit).where(inbox.c.tenant_id == TENANT)
    async with database.tenant(tenant_id) as session:
        rows = (await session.execute(found)).mappings().all()
    return _page(rows, limit)

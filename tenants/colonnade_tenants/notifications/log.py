"""Notifications, deliveries and their tries, as the tenant sees them."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import select

from colonnade_tenants.errors import NotFound
from colonnade_tenants.notifications.payloads import Body
from colonnade_tenants.notifications.tables import (
    notification_attempts,
    notification_deliveries,
    notifications,
)
from colonnade_tenants.partition import TENANT, TenantSession

DeliveryState = Literal["pending", "sending", "delivered", "failed"]


class DeliveryView(Struct, frozen=True):
    """A notification on its way to an endpoint. *next_attempt_at* is null once it is delivered, or given up."""

    notification: str
    type: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None


class AttemptView(Struct, frozen=True):
    """One try: *status* is the reply's, null if none came; *excerpt* is its beginning; *error* says why it failed."""

    at: datetime
    milliseconds: int
    status: int | None
    error: str | None
    excerpt: str | None


class DeliveryLog(DeliveryView, frozen=True):
    """A delivery and all its tries, the newest first."""

    log: list[AttemptView]


_DELIVERIES = (
    select(
        notifications.c.public_id,
        notifications.c.type,
        notification_deliveries.c.state,
        notification_deliveries.c.attempts,
        notifications.c.created_at,
        notification_deliveries.c.due_at,
        notification_deliveries.c.finished_at,
        notification_deliveries.c.position,
        notifications.c.id,
    )
    .join_from(
        notification_deliveries,
        notifications,
        (notifications.c.tenant_id == TENANT) & (notifications.c.id == notification_deliveries.c.notification),
    )
    .where(notification_deliveries.c.tenant_id == TENANT)
)


def _view(row: Any) -> DeliveryView:
    unfinished = row.state in ("pending", "sending")
    next_attempt_at = row.due_at if unfinished else None
    return DeliveryView(
        row.public_id, row.type, row.state, row.attempts, row.created_at, next_attempt_at, row.finished_at
    )


async def deliveries(
    session: TenantSession, endpoint: int, state: DeliveryState | None, before: int | None, limit: int
) -> list[tuple[int, DeliveryView]]:
    """Deliveries to the endpoint, the newest first, each with its place; those before the place *before*."""
    found = _DELIVERIES.where(notification_deliveries.c.endpoint == endpoint)
    if state is not None:
        found = found.where(notification_deliveries.c.state == state)
    if before is not None:
        found = found.where(notification_deliveries.c.position < before)
    rows = await session.execute(found.order_by(notification_deliveries.c.position.desc()).limit(limit))
    return [(row.position, _view(row)) for row in rows]


async def delivery(session: TenantSession, endpoint: int, notification: str) -> DeliveryLog:
    """One delivery with its tries. Raises `NotFound`."""
    if not notification.isprintable():
        raise NotFound("There is no such delivery.", "notification")
    found = _DELIVERIES.where(notification_deliveries.c.endpoint == endpoint, notifications.c.public_id == notification)
    row = (await session.execute(found)).one_or_none()
    if row is None:
        raise NotFound("There is no such delivery.", "notification")
    tries = await session.execute(
        select(*(notification_attempts.c[name] for name in AttemptView.__struct_fields__))
        .where(
            notification_attempts.c.tenant_id == TENANT,
            notification_attempts.c.endpoint == endpoint,
            notification_attempts.c.notification == row.id,
        )
        .order_by(notification_attempts.c.id.desc())
    )
    fields = msgspec.structs.asdict(_view(row))
    return DeliveryLog(**fields, log=[AttemptView(**each) for each in tries.mappings()])


_BODIES = select(notifications.c.position, notifications.c.payload).where(
    notifications.c.tenant_id == TENANT, notifications.c.position.is_not(None), notifications.c.endpoint.is_(None)
)


def decode(payload: str) -> Body:
    """The body that a stored payload is."""
    found: Body = msgspec.json.decode(payload, type=Body)
    return found


async def bodies(session: TenantSession, before: int | None, limit: int) -> list[tuple[int, Body]]:
    """What the tenant was told, the newest first, each with its place; what came before the place *before*."""
    found = _BODIES if before is None else _BODIES.where(notifications.c.position < before)
    rows = await session.execute(found.order_by(notifications.c.position.desc()).limit(limit))
    return [(row.position, decode(row.payload)) for row in rows]


async def body(session: TenantSession, public_id: str) -> Body:
    """One notification. Raises `NotFound`."""
    if public_id.isprintable():
        wanted = select(notifications.c.payload).where(
            notifications.c.tenant_id == TENANT, notifications.c.public_id == public_id
        )
        payload = await session.scalar(wanted)
        if payload is not None:
            return decode(payload)
    raise NotFound("There is no such notification.", "notification")

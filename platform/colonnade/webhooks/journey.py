"""One event from Stripe's delivery to its effects."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import select

from colonnade.database.connections import Database
from colonnade.database.tables import inbox
from colonnade.errors import NotFound
from colonnade.webhooks.events import EVENTS, EventView, fields
from colonnade.webhooks.payload import shown
from colonnade.webhooks.thin import stands_for
from colonnade_tenants.handlers import HANDLERS
from colonnade_tenants.partition import TENANT
from colonnade_tenants.tables import customers, entitlement_changes

EFFECTS = 100
"""Changes of entitlements that are shown, at most."""


class Step(msgspec.Struct, frozen=True):
    """What happened to an event; *by* is the endpoint, rung, handler or API key that did it (a tenant sees no key)."""

    what: Literal["received", "swept", "released", "replayed", "ignored", "attributed", "handled", "stopped", "waiting"]
    at: datetime | None
    by: str | None = None
    detail: str | None = None


class Effect(msgspec.Struct, frozen=True):
    """A customer's feature that the event changed."""

    customer: str
    feature: str
    before: Any
    after: Any
    at: datetime


class Evidence(msgspec.Struct, frozen=True):
    """Something in an event that could name a tenant, and the tenant that it named."""

    rung: str
    key: str
    tenant: str | None


class EventDetail(EventView, kw_only=True):
    """An event with everything that is known of it; *payload* is what Stripe signed, without secrets.

    *evidence*, what its tenant was found by, and *error*, the last traceback, are for the platform team alone.
    """

    payload: msgspec.Raw
    journey: list[Step]
    effects: list[Effect]
    evidence: list[Evidence] | None = None
    error: str | None = None


_DETAIL = EVENTS.add_columns(
    *(inbox.c[name] for name in ("body", "actions", "swept", "evidence", "error", "tenant_id"))
)
_EFFECTS = (
    select(
        customers.c.reference.label("customer"),
        *(entitlement_changes.c[name] for name in ("feature", "before", "after")),
        entitlement_changes.c.recorded_at.label("at"),
    )
    .join_from(
        entitlement_changes,
        customers,
        (customers.c.tenant_id == entitlement_changes.c.tenant_id)
        & (customers.c.id == entitlement_changes.c.customer_id),
    )
    .where(entitlement_changes.c.tenant_id == TENANT)
    .order_by(entitlement_changes.c.recorded_at, entitlement_changes.c.customer_id, entitlement_changes.c.sequence)
    .limit(EFFECTS)
)


async def show(database: Database, event_id: str) -> EventDetail:
    """Any event, for the platform team. Raises `NotFound`."""
    async with database.platform() as connection:
        row = (await connection.execute(_DETAIL.where(inbox.c.event_id == event_id))).mappings().one_or_none()
    if row is None:
        raise NotFound(f"No such event: {event_id!r}.", "event")
    effects = await _effects(database, row["tenant_id"], event_id) if row["tenant_id"] is not None else []
    evidence = None if row["evidence"] is None else msgspec.convert(row["evidence"], list[Evidence])
    return _detail(row, effects, evidence=evidence, error=row["error"])


async def show_to_tenant(database: Database, tenant_id: int, event_id: str) -> EventDetail:
    """One of the tenant's own events, without what is the platform team's. Raises `NotFound`."""
    found = _DETAIL.where(inbox.c.event_id == event_id, inbox.c.tenant_id == TENANT)
    async with database.tenant(tenant_id) as session:
        row = (await session.execute(found)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"No such event: {event_id!r}.", "event")
    # All of these were done by the platform team: the tenant learns what, not who of them.
    unnamed = [each | {"by": None} for each in row["actions"]]
    return _detail(dict(row) | {"actions": unnamed}, await _effects(database, tenant_id, event_id))


async def _effects(database: Database, tenant_id: int, event_id: str) -> list[Effect]:
    async with database.tenant(tenant_id) as session:
        rows = await session.execute(_EFFECTS.where(entitlement_changes.c.cause == event_id))
    return [Effect(**row) for row in rows.mappings()]


def _detail(row: Any, effects: list[Effect], **ours: Any) -> EventDetail:
    return EventDetail(**fields(row), payload=shown(row["body"]), journey=_journey(row), effects=effects, **ours)


def _journey(row: Any) -> list[Step]:
    steps = [Step("swept" if row["swept"] else "received", row["received_at"], row["endpoint"])]
    steps += [Step(each["action"], each["at"], each["by"]) for each in row["actions"]]
    if row["attributed_by"] is not None:
        steps.append(Step("attributed", None, row["attributed_by"], row["tenant"]))
    handler = HANDLERS.get(stands_for(row["type"], HANDLERS) or row["type"])
    name = getattr(handler, "__name__", None)
    match row["state"]:
        case "done":
            steps.append(Step("handled", row["done_at"], name))
        case "pending":
            steps.append(Step("waiting", row["next_attempt_at"], name, row["reason"]))
        case "ignored" if row["actions"] and row["actions"][-1]["action"] == "ignored":
            pass
        case state:
            steps.append(Step("stopped", row["done_at"], name if state == "dead" else None, row["reason"]))
    return steps

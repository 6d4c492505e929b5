"""What is known by now to have been true: facts rebuilt from the signed events, whenever those arrived."""

from collections import defaultdict
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import func, select

from colonnade.database.tables import inbox
from colonnade_tenants.entitlements import mirrored
from colonnade_tenants.entitlements.model import Facts, Subscription
from colonnade_tenants.events import Event
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.subscriptions.past import as_of


class _Data(msgspec.Struct):
    object: msgspec.Raw
    previous_attributes: dict[str, Any] | None = None


class _Body(msgspec.Struct):
    data: _Data


async def corrected(session: TenantSession, facts: Facts, at: datetime) -> tuple[Facts, list[str]]:
    """The facts as they were at *at*, and the subscriptions whose events of then are gone, or never came.

    Versions of plans and policy, and overrides, say themselves when they held.
    """
    events = await _events(session, [subscription.id for subscription in facts.subscriptions])
    found: list[Subscription] = []
    unknown: list[str] = []
    for subscription in facts.subscriptions:
        past = await as_of(events[subscription.id], at)
        if past is not None:
            found.append(mirrored.subscription(subscription.id, past.facts, past.past_due_since, past.event))
        if (past is None or not past.complete) and subscription.started_at <= at:
            unknown.append(subscription.id)
    return msgspec.structs.replace(facts, subscriptions=tuple(found)), unknown


async def _events(session: TenantSession, subscriptions: list[str]) -> dict[str, list[Event]]:
    """The snapshot events of each, in the order they arrived. On a connected account, ids are named with it."""
    table = inbox.c
    rows = await session.execute(
        select(table.event_id, table.type, table.created, table.account, table.object_id, table.body)
        .where(
            table.tenant_id == TENANT,
            table.type.like("customer.subscription.%"),
            table.state == "done",
            func.split_part(table.object_id, "/", -1).in_(subscriptions),
        )
        .order_by(table.id)
    )
    found: dict[str, list[Event]] = defaultdict(list)
    for row in rows:
        data = msgspec.json.decode(row.body, type=_Body).data
        event = Event(row.event_id, row.type, row.created, row.account, data.object, data.previous_attributes)
        found[row.object_id.rpartition("/")[2]].append(event)
    return found

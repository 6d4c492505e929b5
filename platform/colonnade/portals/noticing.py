"""Events that say that a portal configuration, or something that it offers, was changed at Stripe: the worker looks.

Whose the event is does not matter here. A price that several tenants sell names none of them, and all want to know.
"""

from collections.abc import Iterable

import asyncpg

from colonnade.portals.pushing import KEY
from colonnade.webhooks.delivery import Delivery

TYPES = frozenset(
    {"billing_portal.configuration.updated", "product.updated", "product.deleted", "price.updated", "price.deleted"}
)
_IN_ORDER = "select from portal_work where objects && $1::text[] order by tenant_id, name for update"
"""Takes the rows before any is written: two batches would else wait in a circle."""
_DUE = """
update portal_work set due_at = least(coalesce(due_at, clock_timestamp()), clock_timestamp()),
    event = coalesce(event, $2), event_at = coalesce(event_at, $3)
where objects && array[$1]
"""


async def notice(connection: asyncpg.Connection, deliveries: Iterable[Delivery]) -> None:
    """Have the worker look soon at what *deliveries* are about; what Colonnade itself wrote says nothing new.

    Until the transaction ends nobody else writes those rows: call it last.
    """
    found = [each for each in deliveries if _says_something(each)]
    if found:
        await connection.execute(_IN_ORDER, [each.row.object_id for each in found])
    for delivery in found:
        await connection.execute(_DUE, delivery.row.object_id, delivery.event.id, delivery.event.created)


def _says_something(delivery: Delivery) -> bool:
    event = delivery.event
    return event.type in TYPES and not (event.idempotency_key or "").startswith(f"{KEY}:")

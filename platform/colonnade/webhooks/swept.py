"""What a sweep found, as rows of the inbox."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec

from colonnade.webhooks.envelope import decode
from colonnade.webhooks.writer import CHANNEL, INSERT, Received


class Source(NamedTuple):
    """Objects that a resync reads, and the event that an object is stored as."""

    path: str
    event: str
    query: dict[str, Any]


# Whose handlers take the whole object. Payment methods, tax ids and schedules come with their own events alone.
SOURCES = (
    Source("/v1/customers", "customer.updated", {}),
    Source("/v1/subscriptions", "customer.subscription.updated", {"status": "all"}),
    Source("/v1/invoices", "invoice.updated", {}),
)


def as_event(source: Source, thing: dict[str, Any], at: datetime, livemode: bool) -> dict[str, Any]:
    """*thing* as it was at Stripe's time *at*: newer than every event before, older than every one after."""
    second = int(at.timestamp())
    return {
        "id": f"resync_{thing['id']}_{second}",
        "object": "event",
        "type": source.event,
        "created": second,
        "livemode": livemode,
        "data": {"object": thing},
    }


def row(event: dict[str, Any], account: str) -> Received:
    """*event*, which Stripe listed for *account* ("": the platform's own), as if it had been delivered."""
    body = msgspec.json.encode(event | ({"account": account} if account else {}))
    found = decode(body)
    return Received(
        event_id=found.id,
        endpoint="connect" if account else "platform",
        account=account or None,
        type=found.type,
        object_id=found.key,
        created=found.created_at,
        api_version=found.api_version,
        livemode=found.livemode,
        body=body,
        state="pending",
        reason=None,
        lane=found.lane,
        swept=True,
    )


async def store(ingest: asyncpg.Pool, rows: Sequence[Received], size: int = 128) -> int:
    """Store what the inbox lacks; how many that were."""
    stored = 0
    for first in range(0, len(rows), size):
        columns = map(list, zip(*rows[first : first + size], strict=True))
        tag: str = await ingest.execute(INSERT, *columns)
        stored += int(tag.rsplit(" ", 1)[-1])
    if stored:
        await ingest.execute(f"notify {CHANNEL}")
    return stored

"""What a sweep found, as rows of the inbox."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import asyncpg
import msgspec

from colonnade.webhooks.envelope import decode
from colonnade.webhooks.writer import CHANNEL, INSERT, Received

CUSTOMERS = "/v1/customers"


class Source(NamedTuple):
    """Objects that a resync reads, and the event that an object is stored as; `{}` in *path* is a customer."""

    path: str
    event: str
    query: Mapping[str, Any] = MappingProxyType({})

    def paths(self, customers: Sequence[str]) -> list[str]:
        """What is to be listed, where these are the account's *customers*."""
        return [self.path.format(name) for name in customers] if "{}" in self.path else [self.path]


# Customers come first: what is listed for each of them follows.
SOURCES = (
    Source(CUSTOMERS, "customer.updated"),
    Source("/v1/subscriptions", "customer.subscription.updated", {"status": "all"}),
    Source("/v1/subscription_schedules", "subscription_schedule.updated"),
    Source("/v1/invoices", "invoice.updated"),
    Source("/v1/customers/{}/tax_ids", "customer.tax_id.updated"),
    Source("/v1/customers/{}/payment_methods", "payment_method.updated"),
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
    named = {} if not account else {"account": account} if event["object"] == "event" else {"context": account}
    body = msgspec.json.encode(event | named)
    return Received(*decode(body), "connect" if account else "platform", body, swept=True)


async def known(worker: asyncpg.Pool, objects: Sequence[str]) -> list[str]:
    """Those of *objects* that are known to be a tenant's."""
    rows = await worker.fetch("select id from stripe_objects where id = any($1)", objects)
    return [row["id"] for row in rows]


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

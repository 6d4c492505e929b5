"""What the benchmarks share: a database of their own, tenants with a plan, and a backlog of subscription events."""

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from colonnade.database import migrate
from colonnade.database.connections import create_pool
from colonnade.database.embedded import EmbeddedPostgres
from colonnade.database.roles import SERVICE_LOGIN, Duty
from colonnade.webhooks.envelope import decode
from colonnade.webhooks.writer import InboxWriter, Received

START = 1_790_000_000
MONTH = 30 * 86_400

_TENANTS = """
insert into tenants (public_id, name, charge_type, stripe_account, fingerprint)
select 'ten_' || n, 'Shop', 'destination', 'acct_' || n, '' from generate_series(0, $1 - 1) n
"""
_CATALOGUE = (
    "insert into features (tenant_id, key, kind, name) select id, 'seats', 'quantity', 'Seats' from tenants",
    "insert into plans (tenant_id, key, name, price) select id, 'basic', 'Basic', 'price_basic' from tenants",
    "insert into plan_versions (tenant_id, plan, version, price, grants) select id, 'basic', 1, 'price_basic',"
    """ '[{"feature": "seats", "kind": "quantity", "value": 1, "per_unit": true}]' from tenants""",
)
_EMPTY = (
    "truncate inbox, stripe_objects, customers, subscriptions, subscription_items, entitlements, "
    "entitlement_changes restart identity cascade"
)


class Backlog(NamedTuple):
    """*events* of *tenants*, about ten for each subscription."""

    events: int
    tenants: int

    def bodies(self) -> Iterator[bytes]:
        for number in range(self.events):
            subscription = number % self.subscriptions
            yield body(subscription, subscription % self.tenants, 1 + number // self.subscriptions)

    @property
    def subscriptions(self) -> int:
        return max(self.tenants, self.events // 10)


def batched(things: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of *size* of them."""
    while batch := list(itertools.islice(things, size)):
        yield batch


def body(subscription: int, tenant: int, number: int) -> bytes:
    """An event of 4 to 8 KB, as Stripe sends it; every one changes the quantity, and so an entitlement."""
    account = f"acct_{tenant}"
    price = {"id": "price_basic", "object": "price", "product": "prod_1", "unit_amount": 900, "metadata": _padding(600)}
    item = {
        "id": f"si_{subscription}",
        "object": "subscription_item",
        "current_period_start": START,
        "current_period_end": START + MONTH,
        "price": price,
        "quantity": number,
    }
    thing = {
        "id": f"sub_{subscription}",
        "object": "subscription",
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "customer": f"cus_{subscription}",
        "ended_at": None,
        "items": {"object": "list", "data": [item], "has_more": False},
        "metadata": _padding(4000),
        "on_behalf_of": account,
        "schedule": None,
        "start_date": START,
        "status": "active",
        "transfer_data": {"amount_percent": None, "destination": account},
        "trial_end": None,
    }
    event = {
        "id": f"evt_{subscription}_{number}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": START + number,
        "data": {"object": thing, "previous_attributes": {"items": {"data": []}}},
        "livemode": False,
        "type": "customer.subscription.updated",
    }
    return json.dumps(event).encode()


def _padding(size: int) -> dict[str, Any]:
    return {f"key_{number}": "x" * 100 for number in range(size // 110)}


def row(event: bytes) -> Received:
    """The inbox's row of a delivery to the platform's endpoint."""
    return Received(*decode(event), "platform", event)


class Scratch(NamedTuple):
    """A database that is gone afterwards."""

    admin: str
    service: str

    async def migrate(self) -> None:
        await migrate.upgrade(self.admin, self.service)

    async def fill(self, backlog: Backlog, *, tenants: int = 0) -> None:
        """Forget everything, then store the backlog, as receiving does. There are at least *tenants* in all."""
        connection = await asyncpg.connect(self.admin)
        await connection.execute(_EMPTY)
        if not await connection.fetchval("select count(*) from tenants"):
            await connection.execute(_TENANTS, max(tenants, backlog.tenants))
            for statement in _CATALOGUE:
                await connection.execute(statement)
        pool = await create_pool(self.service, Duty.INGEST, size=2)
        async with InboxWriter(pool) as writer:
            # Never two events of a subscription at once: the queue's order is the order of storing.
            for events in batched(backlog.bodies(), min(500, backlog.subscriptions)):
                await asyncio.gather(*(writer.store(row(event)) for event in events))
        await pool.close()
        await connection.execute("vacuum analyze inbox")
        await connection.close()

    async def until_empty(self, within: float = 600) -> None:
        """Return once nothing waits."""
        connection = await asyncpg.connect(self.admin)
        deadline = time.monotonic() + within
        while await connection.fetchval("select exists (select from inbox where state = 'pending')"):
            if time.monotonic() > deadline:
                raise SystemExit("the backlog is not drained")
            await asyncio.sleep(0.05)
        await connection.close()


@contextmanager
def scratch_database() -> Iterator[Scratch]:
    """An embedded PostgreSQL with durable commits."""
    with tempfile.TemporaryDirectory(prefix="colonnade-benchmark-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedPostgres(Path(folder)) as server:
            yield Scratch(server.url("postgres", "postgres"), server.url(SERVICE_LOGIN, "postgres"))

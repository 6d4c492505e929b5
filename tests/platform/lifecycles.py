"""What tests of tenants' lives share: events as Stripe sends them, and the worker's doings, one at a time."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from colonnade.accounts import keeping
from colonnade.catalogue import recomputations
from colonnade.database.connections import connect, create_pool
from colonnade.database.roles import Duty
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.dispatch import Dispatcher
from colonnade.webhooks.envelope import decode
from colonnade.webhooks.extensions import Extensions
from colonnade.webhooks.writer import InboxWriter, Received
from colonnade_tenants.handlers import HANDLERS
from tests.conftest import ScratchDatabase
from tests.platform.api import Sandbox
from tests.platform.deliveries import SETTINGS, event
from tests.tenants import payloads

_seconds = itertools.count(int(time.time()) - 600)
"""All past: what a state is compared with is the clock."""
GONE, BACK = "account.application.deauthorized", "account.application.authorized"


class Worker:
    """A worker that does one thing when it is told to."""

    def __init__(self, database: ScratchDatabase, gateway: StripeGateway, **parts: Any) -> None:
        self.database, self.gateway = database, gateway
        self.pool: asyncpg.Pool = parts["pool"]
        self.keeper: asyncpg.Connection = parts["keeper"]
        self._writer: InboxWriter = parts["writer"]
        self._dispatcher = Dispatcher(gateway, HANDLERS, Extensions(gateway))

    async def store(self, *events: Mapping[str, Any]) -> None:
        """Put events into the inbox the way that receiving does."""
        for sent in events:
            body = json.dumps(sent).encode()
            found = decode(body)
            await self._writer.store(Received(*found, "connect" if found.account else "platform", body))

    async def handle(self) -> None:
        """Process all events that are due."""
        while await self._dispatcher.batch(self.pool):
            pass

    async def work(self) -> None:
        """All that is to be done, until nothing is."""
        async with asyncio.timeout(60):
            await self.handle()
            while True:
                more = await keeping.keep(self.keeper)
                await self.handle()
                computed = await recomputations.advance(self.pool)
                if not more and not computed and not await self.keeper.fetch(keeping._UNFINISHED):
                    return

    async def states(self) -> dict[str, str]:
        """Each event's state."""
        rows = await self.keeper.fetch("select event_id, state from inbox")
        return {row["event_id"]: row["state"] for row in rows}


@asynccontextmanager
async def working(database: ScratchDatabase, sandbox: Sandbox | None = None) -> AsyncIterator[Worker]:
    """A worker whose Stripe is the sandbox, or nowhere."""
    settings = SETTINGS
    if sandbox is not None:
        settings = Settings(stripe_api_key=sandbox.key, stripe_api_base=sandbox.url, stripe_budget_percent=10_000)
    gateway = StripeGateway(settings)
    ingest = await create_pool(database.service_url, Duty.INGEST, size=2)
    pool = await create_pool(database.service_url, Duty.WORKER, size=2)
    keeper = await connect(database.service_url, Duty.PLATFORM)
    gateway.use(pool)
    try:
        async with InboxWriter(ingest) as writer:
            yield Worker(database, gateway, pool=pool, keeper=keeper, writer=writer)
    finally:
        await keeper.close()
        await pool.close()
        await ingest.close()
        await gateway.close()


def about_access(kind: str, account: str) -> dict[str, Any]:
    """The account took its access away (`GONE`), or gave it (`BACK`); each a second after the last."""
    return event(kind, {"id": "ca_1", "object": "application"}, account=account, created=next(_seconds))


def about_subscription(
    status: str, account: str, customer: str, name: str = "sub_1", on_account: bool = False
) -> dict[str, Any]:
    """The subscription has this status now; a second after the last event."""
    fields: dict[str, Any] = {"id": name, "customer": customer}
    platform = {"on_behalf_of": account, "transfer_data": {"destination": account}}
    fields |= {"on_behalf_of": None, "transfer_data": None} if on_account else platform
    body = payloads.subscription(status, payloads.item(f"{name}_1"), **fields)
    sent = event("customer.subscription.updated", body, {"status": "incomplete"}, created=next(_seconds))
    return sent | ({"account": account} if on_account else {})


def about_payment_method(customer: str) -> dict[str, Any]:
    """A payment method of the customer's; it names no account."""
    card = {"brand": "visa", "last4": "4242", "exp_month": 8, "exp_year": 2030}
    body = {"id": f"pm_{customer}", "object": "payment_method", "type": "card", "customer": customer, "card": card}
    return event("payment_method.attached", body, created=next(_seconds))

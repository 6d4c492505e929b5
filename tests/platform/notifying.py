"""A tenant with the API, notifications recorded as handlers do, and the worker's part that delivers them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from httpx import Response
from msgspec.structs import replace

from colonnade.access import keys
from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.notifications.delivering import Notifier
from colonnade.notifications.secrets import Vault
from colonnade.notifications.sender import Sender
from colonnade_tenants import customers
from colonnade_tenants.ids import new_id
from colonnade_tenants.notifications import Note, record
from colonnade_tenants.notifications.payloads import EntitlementChanges
from colonnade_tenants.partition import tenant_connection
from tests.conftest import ScratchDatabase
from tests.platform.consumer import Consumer
from tests.platform.deliveries import SETTINGS, Admin, Web, admin, web

SECRET_KEY = "k" * 32
ON_LOOPBACK = replace(SETTINGS, notification_loopback=True)


def news(customer: int) -> Note:
    """A note about that customer."""
    return Note("entitlements.changed", EntitlementChanges("evt_1", []), customer)


class Notified:
    """A tenant, and requests with its key."""

    def __init__(self, client: Web, db: Admin, pool: asyncpg.Pool, tenant_id: int, name: str, key: str) -> None:
        self.web, self.db, self.pool = client, db, pool
        self.tenant_id, self.name, self.key = tenant_id, name, key

    async def call(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Response:
        """One request below the tenant's path."""
        return await self.web.call(method, f"/v1/tenants/{self.name}{path}", key or self.key, body)

    async def listen(self, consumer: Consumer, **fields: Any) -> str:
        """An endpoint of the tenant at *consumer*; its id."""
        reply = await self.call("POST", "/notification-endpoints", {"url": consumer.url, **fields})
        assert reply.status_code == 201, reply.text
        consumer.secrets.append(reply.json()["secret"])
        return str(reply.json()["id"])

    async def endpoint(self, endpoint: str) -> dict[str, Any]:
        reply = await self.call("GET", f"/notification-endpoints/{endpoint}")
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def deliveries(self, endpoint: str, query: str = "") -> list[dict[str, Any]]:
        """Newest first."""
        reply = await self.call("GET", f"/notification-endpoints/{endpoint}/deliveries{query}")
        assert reply.status_code == 200, reply.text
        found: list[dict[str, Any]] = reply.json()["data"]
        return found

    async def delivery(self, endpoint: str, notification: str) -> dict[str, Any]:
        reply = await self.call("GET", f"/notification-endpoints/{endpoint}/deliveries/{notification}")
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def settled(self, endpoint: str, notification: str, state: str = "delivered") -> dict[str, Any]:
        """The delivery, once it is in that state."""
        found: dict[str, Any] = {}
        async with asyncio.timeout(30):
            while found.get("state") != state:
                await asyncio.sleep(0.05)
                with suppress(AssertionError):
                    found = await self.delivery(endpoint, notification)
        return found

    async def customer(self) -> int:
        """A new customer's internal id."""
        async with tenant_connection(self.pool, self.tenant_id) as tenant:
            return await customers.by_stripe_id(tenant, new_id("cus"))

    async def tell(self, *subjects: int) -> list[str]:
        """One notification about each of these customers, in one transaction; their ids."""
        return await self.record([news(subject) for subject in subjects])

    async def record(self, told: Sequence[Note]) -> list[str]:
        async with tenant_connection(self.pool, self.tenant_id) as tenant:
            return await record(tenant, told)


@asynccontextmanager
async def notified(database: ScratchDatabase) -> AsyncIterator[Notified]:
    """A new tenant of the running application."""
    async with (
        admin(database) as db,
        web(database, ON_LOOPBACK) as client,
        await create_pool(database.service_url, Duty.WORKER, size=2) as pool,
    ):
        yield await another(client, db, pool)


async def another(client: Web, db: Admin, pool: asyncpg.Pool) -> Notified:
    """A further tenant."""
    account = new_id("acct")
    tenant_id = await db.tenant(account)
    key = keys.random_key("tenant")
    await keys.store(db.connection, key, "tests", tenant_id)
    return Notified(client, db, pool, tenant_id, f"ten_{account}", key)


@asynccontextmanager
async def notifier(database: ScratchDatabase) -> AsyncIterator[Notifier]:
    """The worker's part, in this process."""
    running = Notifier(database.service_url, Vault(SECRET_KEY), Sender(loopback=True))
    task = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

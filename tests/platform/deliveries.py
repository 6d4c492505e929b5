"""Signed deliveries, as Stripe makes them, and what they leave in the database."""

import asyncio
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import stripe
from httpx import Response
from litestar import Litestar

from colonnade.access.keys import create_platform_key
from colonnade.app import create_app
from colonnade.settings import Settings
from tests.conftest import ScratchDatabase

PLATFORM, CONNECT = "whsec_platform", "whsec_connect"
SETTINGS = Settings(
    stripe_api_key="sk_test_1",
    stripe_api_base="http://127.0.0.1:9",  # nothing listens there: a call to Stripe fails
    stripe_platform_webhook_secrets=(PLATFORM, "whsec_older"),
    stripe_connect_webhook_secrets=(CONNECT,),
)
_numbers = itertools.count(1)


def event(
    event_type: str = "customer.subscription.updated",
    thing: Mapping[str, Any] | None = None,
    previous: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A snapshot event with an id of its own."""
    data: dict[str, Any] = {"object": {"id": "sub_1", "object": "subscription"} if thing is None else dict(thing)}
    if previous is not None:
        data["previous_attributes"] = dict(previous)
    return {
        "id": f"evt_{next(_numbers)}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "data": data,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event_type,
    } | fields


def signature(body: bytes, secret: str = PLATFORM, at: float | None = None) -> str:
    """The header, made by Stripe's SDK."""
    timestamp = int(time.time() if at is None else at)
    header: str = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, timestamp)
    return header


def headers_for(body: bytes, secret: str = PLATFORM) -> dict[str, str]:
    return {"Stripe-Signature": signature(body, secret), "Content-Type": "application/json"}


class Web:
    """The real application in this event loop."""

    def __init__(self, client: httpx.AsyncClient, key: str) -> None:
        self.client = client
        self.key = key

    async def deliver(self, sent: Mapping[str, Any] | bytes, endpoint: str = "platform") -> Response:
        """POST *sent* with that endpoint's signature."""
        body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        secret = {"platform": PLATFORM, "connect": CONNECT}[endpoint]
        return await self.post(body, headers_for(body, secret), endpoint)

    async def post(self, body: bytes, headers: Any, endpoint: str = "platform") -> Response:
        return await self.client.post(f"/webhooks/stripe/{endpoint}", content=body, headers=headers)

    async def call(self, method: str, path: str, key: str | None = None, body: Any = None) -> Response:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return await self.client.request(method, path, headers=headers, **({} if body is None else {"json": body}))


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Start and stop *app* in one task, as it wants; a fixture's two halves are two."""
    ready, over = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with app.lifespan():
            ready.set()
            await over.wait()

    running = asyncio.create_task(run())
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if not running.done():
            yield
    finally:
        over.set()
        await running


@asynccontextmanager
async def web(database: ScratchDatabase, settings: Settings = SETTINGS) -> AsyncIterator[Web]:
    key = await create_platform_key(database.service_url, "tests")
    app = create_app(settings, database_url=database.service_url, secret_key="k" * 32)
    # Litestar's own test client would merge headers of one name.
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with (
        lifespan(app),
        httpx.AsyncClient(transport=transport, base_url="http://colonnade", timeout=30) as client,
    ):
        yield Web(client, key)


class Admin:
    """The database as its superuser sees it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def clear(self) -> None:
        """Forget all events and tenants."""
        of_tenants = ("tenant_readiness", "readiness_changes", "stripe_objects", "plan_objects")
        for table in ("inbox", *of_tenants, "api_keys where tenant_id is not null", "tenants"):
            await self.connection.execute(f"delete from {table}")

    async def inbox(self) -> list[dict[str, Any]]:
        return [dict(row) for row in await self.connection.fetch("select * from inbox order by id")]

    async def row(self, event_id: str) -> dict[str, Any]:
        return dict(await self.connection.fetchrow("select * from inbox where event_id = $1", event_id))

    async def tenant(self, account: str | None, charge_type: str = "destination") -> int:
        """The id of a new tenant; its public id is `ten_` and the account."""
        found: int = await self.connection.fetchval(
            "insert into tenants (public_id, name, charge_type, stripe_account, fingerprint) "
            "values ($1, 'Shop', $2, $3, '') returning id",
            f"ten_{account}",
            charge_type,
            account,
        )
        return found

    async def own(self, tenant_id: int, *ids: str) -> None:
        """Make the Stripe objects known as the tenant's."""
        await self.connection.executemany(
            "insert into stripe_objects (id, tenant_id) values ($1, $2)", [(each, tenant_id) for each in ids]
        )

    async def settled(self, *event_ids: str, within: float = 20) -> list[dict[str, Any]]:
        """The events' rows, once none of them is pending."""
        deadline = time.monotonic() + within
        while True:
            rows = [await self.row(event_id) for event_id in event_ids]
            if all(row["state"] != "pending" for row in rows):
                return rows
            assert time.monotonic() < deadline, [(row["event_id"], row["reason"], row["attempts"]) for row in rows]
            await asyncio.sleep(0.02)


Running = tuple[Web, Admin]
"""The application, and what it leaves in the database."""


@asynccontextmanager
async def admin(database: ScratchDatabase) -> AsyncIterator[Admin]:
    connection = await asyncpg.connect(database.admin_url)
    try:
        yield Admin(connection)
    finally:
        await connection.close()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def environment(database: ScratchDatabase, data_dir: Path) -> dict[str, str]:
    """What a process of the service needs to run on *database*."""
    return {
        "COLONNADE_DATABASE_URL": database.service_url,
        "COLONNADE_SECRET_KEY": "k" * 32,
        "COLONNADE_DATA_DIR": str(data_dir),
        "COLONNADE_DRAIN_SECONDS": "0",
        "COLONNADE_STRIPE_API_KEY": "sk_test_1",
        "COLONNADE_STRIPE_API_BASE": SETTINGS.stripe_api_base,
        "COLONNADE_STRIPE_PLATFORM_WEBHOOK_SECRETS": ",".join(SETTINGS.stripe_platform_webhook_secrets),
        "COLONNADE_STRIPE_CONNECT_WEBHOOK_SECRETS": CONNECT,
    }

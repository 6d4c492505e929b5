"""Of real deliveries some are lost: the worker finds them by itself, and ends where a twin ends that heard all."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from colonnade_tenants.handlers import HANDLERS
from tests.conftest import ScratchDatabase
from tests.platform.api import Api, Sandbox, TenantApi, running_api
from tests.platform.deliveries import admin, free_port

pytestmark = pytest.mark.alone

LOST = 7

# What of the rows is alike for two tenants with one history.
STATE = {
    "subscriptions": "status, cancel_at_period_end, cancel_at is null, ended_at is null",
    "subscription_items": "quantity",
    "invoices": "status, total, amount_due, attempt_count",
    "payment_methods": "type, brand, last4, gone",
    "tax_ids": "type, value, verification, gone",
    "billing_details": "name, tax_exempt, default_payment_method is null, gone",
    "entitlements": "feature, value, valid_until is null",
}


@asynccontextmanager
async def process(command: str, environ: dict[str, str]) -> AsyncIterator[None]:
    """`colonnade COMMAND` while the block runs."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "colonnade", command), env=os.environ | environ, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        running.terminate()
        await running.wait()


async def endpoint(sandbox: Sandbox, url: str, kind: str) -> str:
    """A webhook endpoint at Stripe for all that is handled; its secret."""
    form = {"url": f"{url}/webhooks/stripe/{kind}", "connect": str(kind == "connect").lower()}
    form |= {f"enabled_events[{number}]": name for number, name in enumerate(sorted(HANDLERS))}
    made = await sandbox.call("POST", "/v1/webhook_endpoints", form)
    return str(made["secret"])


@asynccontextmanager
async def served(database: ScratchDatabase, sandbox: Sandbox, folder: Path) -> AsyncIterator[dict[str, str]]:
    """The web process, to which Stripe delivers; the environment that it runs with."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environ = {
        "COLONNADE_DATABASE_URL": database.service_url,
        "COLONNADE_DATA_DIR": str(folder),
        "COLONNADE_SECRET_KEY": "k" * 32,
        "COLONNADE_STRIPE_API_KEY": sandbox.key,
        "COLONNADE_STRIPE_API_BASE": sandbox.url,
        "COLONNADE_PORT": str(port),
        "COLONNADE_SWEEP_SECONDS": "1",
        "COLONNADE_DRAIN_SECONDS": "0",
    }
    for kind in ("platform", "connect"):
        environ[f"COLONNADE_STRIPE_{kind.upper()}_WEBHOOK_SECRETS"] = await endpoint(sandbox, url, kind)
    async with process("serve", environ), httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
        while not await answers(client, f"{url}/health/ready"):
            await asyncio.sleep(0.1)
        yield environ


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.TransportError:
        return False


async def a_life(api: Api, name: str) -> TenantApi:
    """A tenant whose customer subscribes, changes, gives a tax id, and of whom another leaves."""
    shop = await api.tenant(name=name)
    sandbox = api.sandbox
    ada = await shop.customer("ada")
    await shop.customer("bo")
    price = (await sandbox.price())["id"]
    await shop.put("/features/seats", {"kind": "quantity", "name": "Seats"})
    grants = [{"feature": "seats", "value": 1, "per_unit": True}]
    await shop.put("/plans/basic", {"name": "Basic", "price": price, "grants": grants})
    body = {"price": price, "payment_method": "pm_card_visa"}
    made = [(await shop.call("POST", f"/customers/{who}/subscriptions", body)).json()["id"] for who in ("ada", "bo")]
    item = (await sandbox.call("GET", f"/v1/subscriptions/{made[0]}"))["items"]["data"][0]["id"]
    await sandbox.call("POST", f"/v1/subscriptions/{made[0]}", {"items[0][id]": item, "items[0][quantity]": "4"})
    await sandbox.call("POST", f"/v1/customers/{ada['stripe_customer']}", {"name": "Edith", "tax_exempt": "reverse"})
    tax_id = {"type": "eu_vat", "value": "DE123456789"}
    await sandbox.call("POST", f"/v1/customers/{ada['stripe_customer']}/tax_ids", tax_id)
    await sandbox.call("DELETE", f"/v1/subscriptions/{made[1]}")
    return shop


async def state(database: ScratchDatabase, shop: TenantApi) -> dict[str, list[tuple[Any, ...]]]:
    async with admin(database) as db:
        found = {}
        for table, columns in STATE.items():
            query = f"select {columns} from {table} where tenant_id = (select id from tenants where public_id = $1)"
            found[table] = sorted((tuple(row) for row in await db.connection.fetch(query, shop.id)), key=repr)
        return found


async def all_delivered(sandbox: Sandbox) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
        while (await client.get(f"{sandbox.url}/_sandbox/deliveries")).json()["data"]:
            await asyncio.sleep(0.1)


async def lose(sandbox: Sandbox, number: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        fault = {"deliveries": {"next": number, "action": "drop"}} if number else {}
        assert (await client.post(f"{sandbox.url}/_sandbox/faults", json=fault)).is_success


@pytest.mark.slow
async def test_the_worker_finds_lost_deliveries_and_ends_where_a_twin_ends(
    database: ScratchDatabase, sandbox: Sandbox, tmp_path: Path
) -> None:
    async with running_api(database, sandbox) as api, served(database, sandbox, tmp_path) as environ:
        await lose(sandbox, LOST)
        fern = await a_life(api, "Fern")
        await lose(sandbox, 0)
        kiln = await a_life(api, "Kiln")
        await all_delivered(sandbox)
        wanted = {*await made(sandbox), *await made(sandbox, fern.account), *await made(sandbox, kiln.account)}
        async with process("worker", environ), asyncio.timeout(60):
            while not await settled(api, wanted):
                await asyncio.sleep(0.2)
        (swept,) = await api.sql("select count(*) from inbox where swept")
        assert 0 < swept[0] <= LOST
        assert await state(database, fern) == await state(database, kiln)
        assert all((await state(database, kiln)).values())


async def made(sandbox: Sandbox, account: str | None = None) -> set[str]:
    """The ids of the events that Stripe should have delivered."""
    found = (await sandbox.call("GET", "/v1/events?limit=100", account=account))["data"]
    return {event["id"] for event in found if event["type"] in HANDLERS}


async def settled(api: Api, wanted: set[str]) -> bool:
    rows = await api.sql("select event_id, state from inbox")
    return wanted <= {row["event_id"] for row in rows} and all(row["state"] != "pending" for row in rows)

"""Events that never arrived are found, and what they would have done is done."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from colonnade.errors import NotFound, StripeUnavailable
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.sweeping import sweep_now
from colonnade.webhooks.worker import Worker
from colonnade_tenants.handlers import HANDLERS
from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, PLENTY, Sandbox, TenantApi, running_api
from tests.platform.deliveries import CONNECT, PLATFORM, Admin, Web, admin, web

pytestmark = pytest.mark.alone

STATE = {
    "subscriptions": "id, status, cancel_at, cancel_at_period_end, canceled_at, source_created",
    "subscription_items": "subscription, id, price, quantity, current_period_end",
    "entitlements": "feature, value, valid_from, valid_until, sources",
}


@pytest.fixture
async def shop(database: ScratchDatabase, sandbox: Sandbox) -> AsyncIterator[TenantApi]:
    async with running_api(database, sandbox) as api:
        yield await api.tenant(name="Fern")


def settings(sandbox: Sandbox, stripe: str | None = None) -> Settings:
    return Settings(
        stripe_api_key=sandbox.key,
        stripe_api_base=stripe or sandbox.url,
        stripe_budget_percent=PLENTY,
        stripe_platform_webhook_secrets=(PLATFORM,),
        stripe_connect_webhook_secrets=(CONNECT,),
    )


async def sweep(
    sandbox: Sandbox,
    database: ScratchDatabase,
    tenant: str | None = None,
    *,
    resync: bool = False,
    stripe: str | None = None,
) -> int:
    """How many events were missing."""
    chosen = settings(sandbox, stripe)
    found = await sweep_now(chosen, database.service_url, tenant, resync=resync, progress=lambda *_: None)
    assert not found.failed
    return found.stored


async def a_history(shop: TenantApi) -> None:
    """Two subscriptions; one changes and ends."""
    await shop.customer("ada")
    await shop.customer("bo")
    first = await shop.subscription("ada")
    await shop.subscription("bo")
    sandbox = shop.api.sandbox
    item = (await sandbox.call("GET", f"/v1/subscriptions/{first['id']}"))["items"]["data"][0]["id"]
    for form in ({"items[0][id]": item, "items[0][quantity]": "4"}, {"cancel_at_period_end": "true"}):
        await sandbox.call("POST", f"/v1/subscriptions/{first['id']}", form)
    await sandbox.call("DELETE", f"/v1/subscriptions/{first['id']}")


async def listed(sandbox: Sandbox, account: str | None = None) -> list[dict[str, Any]]:
    """Stripe's events, oldest first."""
    found = (await sandbox.call("GET", "/v1/events?limit=100", account=account))["data"]
    return list(reversed(found))


async def handle(database: ScratchDatabase, sandbox: Sandbox, folder: Path) -> None:
    """Let a worker do what waits."""
    gateway = StripeGateway(settings(sandbox))
    worker = Worker(database.service_url, gateway, data_dir=folder)
    running = asyncio.create_task(worker.run())
    async with admin(database) as db, asyncio.timeout(30):
        while await db.connection.fetchval("select count(*) from inbox where state = 'pending'"):
            await asyncio.sleep(0.05)
    worker.stop()
    await running
    await gateway.close()


async def state(database: ScratchDatabase) -> dict[str, list[tuple[Any, ...]]]:
    async with admin(database) as db:
        return {
            table: [tuple(row) for row in await db.connection.fetch(f"select {columns} from {table} order by 1, 2")]
            for table, columns in STATE.items()
        }


async def deliver(client: Web, events: list[dict[str, Any]]) -> None:
    for event in events:
        assert (await client.deliver(json.dumps(event).encode())).status_code == 200


@pytest.mark.slow
async def test_dropped_events_are_found_and_end_in_the_state_of_an_undisturbed_twin(
    database: ScratchDatabase, sandbox: Sandbox, shop: TenantApi, tmp_path: Path
) -> None:
    await a_history(shop)
    events = await listed(sandbox)
    arriving = [event for event in events[::2] if not event["type"].endswith("deleted")]
    async with web(database, settings(sandbox)) as client:
        await deliver(client, arriving)
        await handle(database, sandbox, tmp_path)
        disturbed = await state(database)
        found = await sweep_now(
            settings(sandbox), database.service_url, shop.id, resync=False, progress=lambda *_: None
        )
        await handle(database, sandbox, tmp_path)
        swept = await state(database)
        assert swept != disturbed

        async with admin(database) as db:
            rows = await db.connection.fetch("select event_id, swept, state from inbox")
            await db.connection.execute("truncate inbox, subscriptions, entitlements, entitlement_changes cascade")
        await deliver(client, events)
        await handle(database, sandbox, tmp_path)
        assert swept == await state(database)
    delivered = {event["id"] for event in arriving}
    assert {row["event_id"] for row in rows if not row["swept"]} == delivered
    assert found.stored == sum(row["swept"] for row in rows) > 0
    assert {row["state"] for row in rows} <= {"done", "ignored"}


async def test_a_sweep_after_a_sweep_finds_nothing_and_the_watermark_moves(
    database: ScratchDatabase, sandbox: Sandbox, shop: TenantApi
) -> None:
    await a_history(shop)
    assert await sweep(sandbox, database) > 0
    before = await watermarks(database)
    await asyncio.sleep(1.1)
    assert await sweep(sandbox, database) == 0
    after = await watermarks(database)
    assert set(before) == {"", shop.account}
    assert all(after[account] > before[account] for account in before)


async def test_a_tenants_readiness_says_up_to_when_no_event_is_missing(
    database: ScratchDatabase, sandbox: Sandbox, shop: TenantApi
) -> None:
    assert (await shop.get("/readiness"))["events_complete_until"] is None
    await sweep(sandbox, database)
    said = datetime.fromisoformat((await shop.get("/readiness"))["events_complete_until"])
    assert said == min((await watermarks(database)).values())


async def watermarks(database: ScratchDatabase) -> dict[str, Any]:
    async with admin(database) as db:
        rows = await db.connection.fetch("select account, complete_until from sweeps")
        return {row["account"]: row["complete_until"] for row in rows}


async def test_where_stripe_lists_no_more_the_watermark_waits_for_a_resync(
    database: ScratchDatabase, sandbox: Sandbox, shop: TenantApi, tmp_path: Path
) -> None:
    await a_history(shop)
    await sweep(sandbox, database)
    async with admin(database) as db:
        await db.connection.execute("delete from inbox")
        long_ago = timedelta(days=40)
        await db.connection.execute(
            "update sweeps set swept_until = swept_until - $1::interval,"
            " complete_until = complete_until - $1::interval",
            long_ago,
        )
    old = await watermarks(database)
    await sweep(sandbox, database)
    assert await watermarks(database) == old, "what happened between is not known"
    async with admin(database) as db:
        await db.connection.execute("delete from inbox")
    assert await sweep(sandbox, database, resync=True) > 0
    assert all(at - old[account] > timedelta(days=39) for account, at in (await watermarks(database)).items())
    await handle(database, sandbox, tmp_path)
    found = (await state(database))["subscriptions"]
    assert sorted(row[1] for row in found) == ["active", "canceled"]


async def test_a_sweep_that_stripe_fails_says_so_and_keeps_its_place(
    database: ScratchDatabase, sandbox: Sandbox, shop: TenantApi
) -> None:
    await sweep(sandbox, database)
    before = await watermarks(database)
    with pytest.raises(StripeUnavailable):
        await sweep(sandbox, database, stripe=NOWHERE)
    async with admin(database) as db:
        assert await db.connection.fetchval("select problem from sweeps where account = ''")
    assert await watermarks(database) == before
    with pytest.raises(NotFound):
        await sweep(sandbox, database, "ten_x")


@pytest.mark.slow
async def test_a_sweep_killed_on_its_way_goes_on_at_the_next(
    database: ScratchDatabase, sandbox: Sandbox, shop: TenantApi, tmp_path: Path
) -> None:
    await a_history(shop)
    wanted = len(await swept_types(sandbox))
    environ = os.environ | {
        "COLONNADE_DATABASE_URL": database.service_url,
        "COLONNADE_SECRET_KEY": "k" * 32,
        "COLONNADE_DATA_DIR": str(tmp_path),
        "COLONNADE_STRIPE_API_KEY": sandbox.key,
        "COLONNADE_STRIPE_API_BASE": sandbox.url,
    }
    await sandbox.fail(next=1000, status=0, delay=0.3)
    command = [sys.executable, "-m", "colonnade", "sweep"]
    process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=asyncio.subprocess.DEVNULL)
    async with admin(database) as db, asyncio.timeout(60):
        while not await in_the_middle(db):
            assert process.returncode is None
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    await sandbox.fail()
    async with admin(database) as db:
        assert await db.connection.fetchval("select finished_at from sweeps where account = ''") is None
    await sweep(sandbox, database)
    async with admin(database) as db:
        rows = await db.connection.fetch("select event_id from inbox where endpoint = 'platform'")
        assert len(rows) == len({row["event_id"] for row in rows}) == wanted


async def in_the_middle(db: Admin) -> bool:
    """Whether the platform's cursor has moved, and the sweep is not over."""
    found = await db.connection.fetchval(
        "select swept_until > now() - interval '29 days' from sweeps where account = '' and finished_at is null"
    )
    return bool(found)


async def swept_types(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [event for event in await listed(sandbox) if event["type"] in HANDLERS]

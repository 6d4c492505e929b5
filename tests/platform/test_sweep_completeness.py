"""Up to when nothing is missing: told by a route, by metrics and by readiness; thin events and resyncs count too."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.errors import Closed
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.sweep import Sweeper
from colonnade.webhooks.sweeps import Account, accounts
from tests.conftest import ScratchDatabase
from tests.platform.api import Sandbox, TenantApi, problem, running_api
from tests.platform.deliveries import admin, web
from tests.platform.test_sweep import handle, settings, sweep

pytestmark = [pytest.mark.alone, pytest.mark.slow]

SEATS = "v1.customer.subscription.item_quantity_changed"


@pytest.fixture
async def shop(database: ScratchDatabase, sandbox: Sandbox) -> AsyncIterator[TenantApi]:
    async with running_api(database, sandbox) as api:
        yield await api.tenant(name="Fern")


async def seats(shop: TenantApi, subscription: str, number: int) -> None:
    call = shop.api.sandbox.call
    item = (await call("GET", f"/v1/subscriptions/{subscription}", account=shop.holder))["items"]["data"][0]["id"]
    form = {"items[0][id]": item, "items[0][quantity]": str(number)}
    await call("POST", f"/v1/subscriptions/{subscription}", form, shop.holder)


@pytest.mark.parametrize("charge_type", ["destination", "direct"])
async def test_thin_events_are_swept_page_by_page_of_each_account(
    database: ScratchDatabase, sandbox: Sandbox, charge_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colonnade.webhooks.listing.PAGE", 2)
    gateway = StripeGateway(settings(sandbox))
    async with (
        running_api(database, sandbox) as api,
        await create_pool(database.service_url, Duty.WORKER, size=2) as worker,
        await create_pool(database.service_url, Duty.INGEST, size=1) as ingest,
    ):
        shop = await api.tenant(name="Fern", charge_type=charge_type)
        await shop.customer("ada")
        subscription = (await shop.subscription("ada"))["id"]
        for number in range(2, 7):
            await seats(shop, subscription, number)
        sweeper = Sweeper(gateway, worker, ingest, [SEATS, "customer.subscription.created"], live=False)
        mine = Account(shop.holder or "", None)
        assert await sweeper.account(mine) == 5 + 1
        assert await sweeper.account(mine) == 0
        rows = await api.sql("select type, account, endpoint, swept, body from inbox where type = $1", SEATS)
        assert len(rows) == 5
        assert {(row["account"], row["endpoint"], row["swept"]) for row in rows} == {
            (shop.holder, "connect" if shop.holder else "platform", True)
        }
        assert all(b"v2.core.event" in row["body"] for row in rows)
    await gateway.close()


async def test_a_resync_reads_schedules_tax_ids_and_payment_methods_too(
    database: ScratchDatabase, sandbox: Sandbox, shop: TenantApi, tmp_path: Path
) -> None:
    customer = (await shop.customer("ada"))["stripe_customer"]
    subscription = (await shop.subscription("ada"))["id"]
    await sandbox.call("POST", f"/v1/customers/{customer}/tax_ids", {"type": "eu_vat", "value": "DE123456789"})
    await sandbox.call("POST", "/v1/subscription_schedules", {"from_subscription": subscription})
    strangers = await sandbox.call("POST", "/v1/customers", {"email": "else@example.com"})
    await sandbox.call("POST", f"/v1/customers/{strangers['id']}/tax_ids", {"type": "eu_vat", "value": "DE123456789"})
    await sweep(sandbox, database)
    async with admin(database) as db:
        await db.connection.execute("delete from inbox")
        await sweep(sandbox, database, resync=True)
        await db.connection.execute(
            "delete from inbox where event_id not like 'resync%' or object_id = $1", strangers["id"]
        )
        types = {row["type"] for row in await db.inbox()}
        assert types >= {"payment_method.updated", "customer.tax_id.updated", "subscription_schedule.updated"}
    await handle(database, sandbox, tmp_path)
    async with admin(database) as db:
        assert {row["state"] for row in await db.inbox()} == {"done"}
        for table, number in {"tax_ids": 1, "subscription_schedules": 1, "subscriptions": 1, "invoices": 1}.items():
            assert await db.connection.fetchval(f"select count(*) from {table}") == number, table
        assert await db.connection.fetchval("select count(*) from payment_methods where last4 = '4242'") == 1


async def test_each_accounts_watermark_is_told_to_the_platform_team_alone(
    database: ScratchDatabase, sandbox: Sandbox, shop: TenantApi
) -> None:
    api = shop.api
    assert (await api.call("GET", "/v1/webhooks/sweeps")).json() == {"data": [], "next": None}
    await sweep(sandbox, database)
    first = (await api.call("GET", "/v1/webhooks/sweeps?limit=1")).json()
    rest = (await api.call("GET", f"/v1/webhooks/sweeps?limit=1&after={first['next']}")).json()
    assert [(row["account"], row["tenant"]) for row in first["data"] + rest["data"]] == [
        (None, None),
        (shop.account, shop.id),
    ]
    assert rest["next"] is None
    assert all(row["problem"] is None and row["complete_until"] for row in first["data"] + rest["data"])
    problem(await api.call("GET", "/v1/webhooks/sweeps", key=shop.key), 403)
    problem(await api.call("GET", "/v1/webhooks/sweeps?after=!"), 400, "after")


async def test_metrics_and_readiness_follow_the_watermark(
    database: ScratchDatabase, sandbox: Sandbox, shop: TenantApi
) -> None:
    limited = Settings(stripe_api_key=sandbox.key, stripe_api_base=sandbox.url, ready_watermark_seconds=3600)
    async with web(database, limited) as client, admin(database) as db:

        async def ready() -> tuple[int, str]:
            answer = await client.client.get("/health/ready")
            return answer.status_code, answer.json()["checks"]["watermark"]

        assert await ready() == (503, "no sweep has looked yet: run `colonnade sweep`")
        await sweep(sandbox, database)
        assert await ready() == (200, "ok")
        text = (await client.client.get("/metrics")).text
        for account in ("platform", shop.account):
            assert f'colonnade_events_complete_until{{account="{account}"}}' in text
        ago = timedelta(hours=2)
        await db.connection.execute("update sweeps set complete_until = now() - $1::interval where account <> ''", ago)
        assert await ready() == (200, "ok"), "one tenant's account does not take the service down"
        await db.connection.execute("update sweeps set complete_until = now() - $1::interval", ago)
        assert (await ready())[0] == 503


async def test_of_frozen_tenants_nothing_is_asked_and_they_leave_the_metrics(
    database: ScratchDatabase, sandbox: Sandbox, shop: TenantApi
) -> None:
    kiln, rue = [await shop.api.tenant(name=name) for name in ("Kiln", "Rue")]
    await sweep(sandbox, database)
    async with (
        admin(database) as db,
        web(database, settings(sandbox)) as client,
        await create_pool(database.service_url, Duty.WORKER, size=1) as worker,
    ):
        await db.connection.execute("update tenants set disconnected_at = now() where public_id = $1", shop.id)
        await db.connection.execute("update tenants set archived_at = now() where public_id = $1", kiln.id)
        await db.connection.execute("update tenants set suspended_at = now() where public_id = $1", rue.id)
        assert {account.id for account in await accounts(worker)} == {"", rue.account}
        rows = (await client.call("GET", "/v1/webhooks/sweeps")).json()["data"]
        assert {row["tenant"]: row["problem"] for row in rows} == {
            None: None,
            rue.id: None,
            shop.id: "This tenant has disconnected its Stripe account.",
            kiln.id: "This tenant is archived.",
        }
        metrics = (await client.client.get("/metrics")).text
        assert [account in metrics for account in (rue.account, shop.account, kiln.account)] == [True, False, False]
    await sandbox.forget_requests()
    with pytest.raises(Closed, match="archived"):
        await sweep(sandbox, database, kiln.id)
    assert await sandbox.requests("GET") == []

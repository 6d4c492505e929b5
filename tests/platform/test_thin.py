"""Thin events are read, and then handled as the snapshot events that they stand for."""

import itertools
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import pytest

from colonnade.database.roles import Duty
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.dispatch import Dispatcher
from colonnade.webhooks.extensions import Extension, Extensions
from colonnade.webhooks.thin import stands_for
from colonnade_tenants.handlers import HANDLERS
from tests.platform.api import NOWHERE, Api, Sandbox, TenantApi
from tests.platform.deliveries import CONNECT, PLATFORM, Admin, Web, admin, web

pytestmark = [pytest.mark.alone, pytest.mark.slow]

STATE = {
    "subscriptions": "id, status, cancel_at, source_created",
    "subscription_items": "subscription, id, price, quantity",
    "invoices": "id, status, amount_paid, source_created",
    "payment_methods": "id, brand, last4, gone, source_created",
    "billing_details": "id, email, source_created",
}
_numbers = itertools.count(1)
FETCHED = ("changes", "snapshot_event")
"""Parts of a thin event that its delivery leaves out ("Event destinations", Stripe docs)."""


class Stage(NamedTuple):
    client: Web
    db: Admin
    sandbox: Sandbox
    pool: asyncpg.Pool

    def settings(self, base: str | None = None) -> Settings:
        return Settings(stripe_api_key=self.sandbox.key, stripe_api_base=base or self.sandbox.url)

    async def thin(self, account: str | None = None) -> list[dict[str, Any]]:
        """Stripe's thin events, oldest first."""
        found = (await self.sandbox.call("GET", "/v2/core/events?limit=100", account=account))["data"]
        return list(reversed(found))

    async def deliver(self, whole: dict[str, Any], endpoint: str = "platform") -> None:
        sent = {name: value for name, value in whole.items() if name not in FETCHED}
        assert (await self.client.deliver(sent, endpoint)).status_code == 200

    async def work(self, base: str | None = None, extensions: list[Extension] | None = None) -> None:
        gateway = StripeGateway(self.settings(base))
        try:
            while await Dispatcher(gateway, HANDLERS, Extensions(gateway, extensions or [])).batch(self.pool):
                pass
        finally:
            await gateway.close()

    async def state(self) -> dict[str, list[tuple[Any, ...]]]:
        rows = {
            table: await self.db.connection.fetch(f"select {columns} from {table} order by id")
            for table, columns in STATE.items()
        }
        return {table: [tuple(row) for row in found] for table, found in rows.items()}

    async def states(self) -> set[str]:
        return {row["state"] for row in await self.db.inbox()}


@pytest.fixture
async def stage(api: Api) -> AsyncIterator[Stage]:
    settings = Settings(
        stripe_api_key=api.sandbox.key,
        stripe_platform_webhook_secrets=(PLATFORM,),
        stripe_connect_webhook_secrets=(CONNECT,),
    )
    async with (
        admin(api.database) as db,
        web(api.database, settings) as client,
        asyncpg.create_pool(
            api.database.service_url, min_size=1, max_size=1, server_settings={"role": str(Duty.WORKER)}
        ) as pool,
    ):
        await db.connection.execute("delete from inbox")
        yield Stage(client, db, api.sandbox, pool)


async def a_history(shop: TenantApi) -> str:
    """A customer pays, takes more, and removes the card; the id of the subscription."""
    await shop.customer("ada")
    made = await shop.subscription("ada")
    found = await shop.api.sandbox.call("GET", f"/v1/subscriptions/{made['id']}", account=shop.holder)
    form = {"items[0][id]": found["items"]["data"][0]["id"], "items[0][quantity]": "4"}
    await shop.api.sandbox.call("POST", f"/v1/subscriptions/{made['id']}", form, shop.holder)
    cards = await shop.api.sandbox.call(
        "GET", f"/v1/customers/{found['customer']}/payment_methods", account=shop.holder
    )
    await shop.api.sandbox.call("POST", f"/v1/payment_methods/{cards['data'][0]['id']}/detach", {}, shop.holder)
    return str(made["id"])


@pytest.mark.slow
async def test_thin_events_alone_end_in_the_state_that_the_snapshots_end_in(stage: Stage, fern: TenantApi) -> None:
    subscription = await a_history(fern)
    for whole in await stage.thin():
        await stage.deliver(whole)
    await stage.work()
    assert await stage.states() <= {"done", "ignored"}
    found = await stage.state()
    assert subscription in {row[0] for row in found["subscriptions"]}
    assert all(found.values())
    for event in reversed((await stage.sandbox.call("GET", "/v1/events?limit=100"))["data"]):
        assert (await stage.client.deliver(json.dumps(event).encode())).status_code == 200
    await stage.work()
    assert await stage.state() == found


async def test_one_whose_snapshot_came_as_well_adds_nothing_and_is_not_read_further(
    stage: Stage, fern: TenantApi
) -> None:
    await fern.customer("ada")
    (snapshot,) = (await stage.sandbox.call("GET", "/v1/events?types[0]=customer.created"))["data"]
    (whole,) = [each for each in await stage.thin() if each["snapshot_event"] == snapshot["id"]]
    assert (await stage.client.deliver(json.dumps(snapshot).encode())).status_code == 200
    await stage.deliver(whole)
    await stage.sandbox.forget_requests()
    await stage.work()
    row = await stage.db.row(whole["id"])
    assert (row["state"], row["reason"]) == ("ignored", f"its snapshot event {snapshot['id']} came as well")
    assert (await stage.db.row(snapshot["id"]))["state"] == "done"
    reads = await stage.sandbox.requests("GET")
    assert [read["path"] for read in reads] == [f"/v2/core/events/{whole['id']}"]


@pytest.mark.slow
async def test_on_a_connected_account_it_is_read_there(stage: Stage, api: Api) -> None:
    kiln = await api.tenant(name="Kiln", charge_type="direct")
    subscription = await a_history(kiln)
    for whole in await stage.thin(kiln.account):
        await stage.deliver(whole, "connect")
    await stage.work()
    rows = await stage.db.inbox()
    assert {row["rung"] for row in rows if row["state"] == "done"} == {"account"}
    mine = "select status from subscriptions s join tenants t on t.id = tenant_id where t.public_id = $1 and s.id = $2"
    assert await stage.db.connection.fetchval(mine, kiln.id, subscription) == "active"


async def test_one_of_a_strangers_account_is_quarantined_and_stripe_not_asked(stage: Stage, fern: TenantApi) -> None:
    made = await stage.sandbox.call("POST", "/v1/accounts", {"type": "express", "country": "DE"})
    await stage.sandbox.call("POST", "/v1/customers", {"name": "Ada"}, made["id"])
    (whole,) = [each for each in await stage.thin(made["id"]) if each["type"] == "v1.customer.created"]
    await stage.deliver(whole, "connect")
    await stage.sandbox.forget_requests()
    await stage.work()
    row = await stage.db.row(whole["id"])
    assert (row["state"], row["tenant_id"]) == ("quarantined", None)
    assert made["id"] in row["reason"]
    assert await stage.sandbox.requests("GET") == []


def thin(event_type: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"evt_test_{next(_numbers)}",
        "object": "v2.core.event",
        "type": event_type,
        "created": "2026-11-01T10:00:00.123Z",
        "livemode": False,
        "context": None,
    } | fields


async def test_a_disconnection_needs_nothing_but_its_signed_body(stage: Stage, fern: TenantApi) -> None:
    sent = thin("v1.account.application.deauthorized", context=fern.account)
    await stage.deliver(sent, "connect")
    await stage.work(NOWHERE)
    assert (await stage.db.row(sent["id"]))["state"] == "done"
    gone = "select disconnected_at from connected_accounts where stripe_account = $1"
    assert await stage.db.connection.fetchval(gone, fern.account) is not None


async def test_one_without_a_snapshot_event_reads_its_object(stage: Stage, fern: TenantApi) -> None:
    account = fern.account
    related = {"id": account, "type": "v2.core.account", "url": f"/v2/core/accounts/{account}"}
    sent = thin("v2.core.account[requirements].updated", related_object=related) | {"snapshot_event": None}
    assert (await stage.client.deliver(sent)).status_code == 200
    await stage.sandbox.forget_requests()
    await stage.work()
    row = await stage.db.row(sent["id"])
    assert (row["state"], row["rung"]) == ("done", "account"), row["reason"]
    assert [read["path"] for read in await stage.sandbox.requests("GET")] == [f"/v1/accounts/{account}"]


@pytest.mark.parametrize("url", ["https://elsewhere.example/v1/customers/cus_1", "/v1/../v2/x", "/v1/a?b=c", ""])
async def test_a_path_that_is_none_of_stripes_is_not_asked(stage: Stage, fern: TenantApi, url: str) -> None:
    sent = thin("v1.customer.updated", related_object={"id": "cus_1", "type": "customer", "url": url})
    assert (await stage.client.deliver(sent | {"snapshot_event": None})).status_code == 200
    await stage.sandbox.forget_requests()
    await stage.work()
    row = await stage.db.row(sent["id"])
    assert (row["state"], row["attempts"]) == ("pending", 1)
    assert "no path of Stripe's API" in row["reason"]
    assert await stage.sandbox.requests("GET") == []


async def test_while_stripe_is_down_it_waits_and_then_is_done(stage: Stage, fern: TenantApi) -> None:
    await fern.customer("ada")
    (whole,) = [each for each in await stage.thin() if each["type"] == "v1.customer.created"]
    await stage.deliver(whole)
    await stage.work(NOWHERE)
    assert (await stage.db.row(whole["id"]))["state"] == "pending"
    await stage.db.connection.execute("update inbox set not_before = now()")
    await stage.work()
    row = await stage.db.row(whole["id"])
    assert (row["state"], row["rung"]) == ("done", "customer")


async def test_a_thin_event_of_odd_shape_fails_alone(stage: Stage, fern: TenantApi) -> None:
    odd = thin("v1.customer.updated", snapshot_event=7)
    assert (await stage.client.deliver(odd)).status_code == 200
    await fern.customer("ada")
    (whole,) = [each for each in await stage.thin() if each["type"] == "v1.customer.created"]
    await stage.deliver(whole)
    await stage.work()
    assert (await stage.db.row(odd["id"]))["state"] == "dead"
    assert "snapshot_event" in (await stage.db.row(odd["id"]))["reason"]
    assert (await stage.db.row(whole["id"]))["state"] == "done"


async def test_handlers_of_ones_own_get_it_as_the_snapshot_and_again_if_they_fail(
    stage: Stage, fern: TenantApi
) -> None:
    got: list[tuple[str, str]] = []

    async def handler(event: Any, tenant: Any, stripe: Any) -> None:
        got.append((event.type, json.loads(bytes(event.object))["object"]))
        if len(got) == 1:
            raise RuntimeError("not yet")

    own = [Extension("acme:handler", "customer.created", handler)]
    await fern.customer("ada")
    (whole,) = [each for each in await stage.thin() if each["type"] == "v1.customer.created"]
    await stage.deliver(whole)
    await stage.work(extensions=own)
    await stage.db.connection.execute("update extension_calls set not_before = now()")
    gateway = StripeGateway(stage.settings())
    try:
        assert await Extensions(gateway, own).retry(stage.pool) == 1
    finally:
        await gateway.close()
    assert got == [("customer.created", "customer")] * 2
    assert await stage.db.connection.fetchval("select state from extension_calls") == "done"


FINER = {
    "v1.customer.subscription.past_due": "customer.subscription.updated",
    "v1.customer.subscription.item_added": "customer.subscription.updated",
    "v1.customer.subscription.deleted": "customer.subscription.deleted",
    "v1.subscription_schedule.phase_added": "subscription_schedule.updated",
    "v1.price.deactivated": "price.updated",
    "v1.invoice.discount_added": "invoice.updated",
    "v1.entitlements.active_entitlement_summary.entitlement_added": "entitlements.active_entitlement_summary.updated",
    "v2.core.account.updated": "account.updated",
    "v2.core.account[configuration.merchant].capability_status_updated": "account.updated",
    "v2.core.account_link.returned": None,
    "v1.charge.succeeded": None,
    "customer.updated": None,
}


@pytest.mark.parametrize(("event_type", "snapshot"), FINER.items())
def test_a_finer_event_stands_for_its_groups_update(event_type: str, snapshot: str | None) -> None:
    assert stands_for(event_type, HANDLERS) == snapshot


def test_every_handled_type_has_its_thin_twin_where_stripe_has_one() -> None:
    assert {stands_for(f"v1.{name}", HANDLERS) for name in HANDLERS} == set(HANDLERS)

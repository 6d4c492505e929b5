"""What the events told of a customer's billing, read by its tenant, and by no other."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.web import cursor
from colonnade_tenants.events import Event
from colonnade_tenants.handlers import HANDLERS
from colonnade_tenants.partition import tenant_connection
from tests.platform.api import Api, TenantApi, problem
from tests.tenants import billing, payloads
from tests.tenants.billing import tell
from tests.tenants.conftest import StripeReads
from tests.tenants.payloads import START, moment


class Heard:
    """A tenant with the customer `ada`, and what its worker hears."""

    def __init__(self, tenant: TenantApi, customer: str, tenant_id: int, pool: asyncpg.Pool) -> None:
        self.tenant, self.customer, self._id, self._pool = tenant, customer, tenant_id, pool

    async def hears(self, *events: Event) -> None:
        for event in events:
            async with tenant_connection(self._pool, self._id) as connection:
                await HANDLERS[event.type](event, connection, StripeReads())

    async def get(self, path: str) -> Any:
        return await self.tenant.get(f"/customers/ada/{path}")

    def invoice(self, number: int, created: int, **changes: Any) -> Event:
        body = billing.invoice("paid", id=f"in_{number}", created=created, customer=self.customer, **changes)
        return tell("invoice.paid", created, body)


@pytest.fixture
async def shop(fern: TenantApi) -> AsyncIterator[Heard]:
    customer = (await fern.customer("ada"))["stripe_customer"]
    (row,) = await fern.api.sql("select id from tenants where public_id = $1", fern.id)
    pool = await create_pool(fern.api.database.service_url, Duty.WORKER, size=1)
    yield Heard(fern, customer, row["id"], pool)
    await pool.close()


async def test_invoices_come_newest_first_in_pages(shop: Heard) -> None:
    await shop.hears(*(shop.invoice(number, START + number // 2) for number in range(5)))
    first = await shop.get("invoices?limit=2")
    second = await shop.get(f"invoices?limit=2&after={first['next']}")
    third = await shop.get(f"invoices?limit=2&after={second['next']}")
    found = [page["data"] for page in (first, second, third)]
    assert [[each["id"] for each in page] for page in found] == [["in_4", "in_3"], ["in_2", "in_1"], ["in_0"]]
    assert third["next"] is None
    (invoice,) = found[2]
    assert (invoice["status"], invoice["amount_paid"], invoice["currency"]) == ("paid", 900, "eur")
    assert (invoice["subscription"], invoice["number"]) == ("sub_1", "A-0001")
    assert invoice["hosted_invoice_url"].startswith("https://invoice.stripe.com/")
    assert "gone" not in invoice


async def test_a_page_that_is_none_of_ours_is_refused(shop: Heard) -> None:
    wrong = ("nothing", "2026-01-01 in_1", "99999999999 in_1", "1 in_\0", "1790000000 ", " in_1")
    for after in ("x", *map(cursor, wrong)):
        problem(await shop.tenant.call("GET", f"/customers/ada/invoices?after={after}"), 400, "after")


async def test_a_discarded_draft_is_not_listed(shop: Heard) -> None:
    draft = billing.invoice(customer=shop.customer)
    await shop.hears(tell("invoice.created", START, draft), tell("invoice.deleted", START + 1, draft))
    assert await shop.get("invoices") == {"data": [], "next": None}


async def test_payment_methods_say_which_is_the_default_and_nothing_more_of_the_card(shop: Heard) -> None:
    card, old = (billing.payment_method(id=name, customer=shop.customer) for name in ("pm_1", "pm_2"))
    default = {"invoice_settings": {"default_payment_method": "pm_1"}}
    await shop.hears(
        tell("payment_method.attached", START, card),
        tell("payment_method.attached", START, old),
        tell("payment_method.detached", START + 1, old | {"customer": None}, {"customer": shop.customer}),
        tell("customer.updated", START, billing.customer(id=shop.customer, **default), {}),
    )
    assert (await shop.get("payment-methods"))["data"] == [
        {
            "id": "pm_1",
            "type": "card",
            "brand": "visa",
            "last4": "4242",
            "exp_month": 12,
            "exp_year": 2030,
            "default": True,
        }
    ]


async def test_billing_is_stripes_view_and_the_customer_stays_what_the_tenant_wrote(shop: Heard) -> None:
    assert (await shop.get("billing"))["email"] is None
    edited = billing.customer(id=shop.customer, email="new@example.com", address={"city": "Köln"})
    await shop.hears(
        tell("customer.updated", START, edited, {}),
        tell("customer.tax_id.created", START, billing.tax_id("verified", customer=shop.customer)),
    )
    found = await shop.get("billing")
    assert (found["email"], found["address"], found["deleted"]) == ("new@example.com", {"city": "Köln"}, False)
    assert [(each["value"], each["verification"]) for each in found["tax_ids"]] == [("DE123456789", "verified")]
    assert (await shop.tenant.get("/customers/ada"))["email"] == "ada@example.com"


async def test_a_deferred_change_is_shown_apart_from_what_is(shop: Heard) -> None:
    subscription = payloads.subscription(customer=shop.customer)
    schedule = billing.schedule(customer=shop.customer)
    released = billing.schedule("released", customer=shop.customer, subscription=None, released_subscription="sub_1")
    await shop.hears(
        payloads.event("created", START, subscription), tell("subscription_schedule.created", START, schedule)
    )
    (found,) = (await shop.get("subscriptions"))["data"]
    assert [item["price"] for item in found["items"]] == ["price_basic"]
    assert found["pending"] == {
        "schedule": "sub_sched_1",
        "starts_at": moment(START + 30 * 86_400).isoformat().replace("+00:00", "Z"),
        "items": [{"price": "price_basic", "quantity": 1}],
    }
    await shop.hears(tell("subscription_schedule.released", START + 1, released))
    (found,) = (await shop.get("subscriptions"))["data"]
    assert found["pending"] is None


@pytest.mark.parametrize("path", ["invoices", "payment-methods", "billing"])
async def test_another_tenant_finds_neither_the_customer_nor_the_tenant(shop: Heard, api: Api, path: str) -> None:
    await shop.hears(shop.invoice(1, START))
    other = await api.tenant()
    problem(await other.call("GET", f"/customers/ada/{path}"), 404, "reference")
    assert (await shop.tenant.call("GET", f"/customers/ada/{path}", key=other.key)).status_code == 404


async def test_events_of_prices_find_the_tenant_whose_plans_sell_them(shop: Heard) -> None:
    tenant, sql = shop.tenant, shop.tenant.api.sql
    await tenant.put("/plans/gold", {"name": "Gold", "price": "price_1"})
    await tenant.put("/plans/basic", {"name": "Basic", "product": "prod_1"})
    await tenant.put("/plans/gold", {"name": "Gold", "price": "price_2"})
    assert {row["id"] for row in await sql("select id from plan_objects")} == {"price_2", "prod_1"}
    await tenant.call("DELETE", "/plans/basic")
    assert [row["id"] for row in await sql("select id from plan_objects")] == ["price_2"]

"""Subscriptions start at Stripe in the tenant's name, with its transfer and fee."""

from typing import Any

import pytest

from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, Api, TenantApi, problem, running_api

PATH = "/customers/ada/subscriptions"
CARD = "pm_card_visa"


@pytest.fixture
async def shop(fern: TenantApi) -> TenantApi:
    """A tenant with one customer."""
    await fern.customer("ada")
    return fern


async def test_a_subscription_names_its_tenant(shop: TenantApi) -> None:
    await shop.call("PATCH", "", {"application_fee_percent": 2.5}, key=shop.api.key)
    price = await shop.api.sandbox.price()
    reply = await shop.call("POST", PATH, {"price": price["id"], "quantity": 3, "payment_method": CARD})
    assert reply.status_code == 201
    made = reply.json()
    (found,) = await shop.at_stripe("subscriptions")
    customer = await shop.get("/customers/ada")
    assert made["id"] == found["id"]
    assert made["status"] == found["status"] == "active"
    assert [(item["price"], item["product"], item["quantity"]) for item in made["items"]] == [
        (price["id"], price["product"], 3)
    ]
    assert made["items"][0]["current_period_end"] > made["items"][0]["current_period_start"]
    assert found["customer"] == customer["stripe_customer"]
    assert found["on_behalf_of"] == shop.account
    assert found["transfer_data"]["destination"] == shop.account
    assert found["application_fee_percent"] == 2.5
    assert found["metadata"] == {"colonnade_tenant": shop.id, "colonnade_customer": customer["id"]}
    owner = await shop.api.sql(
        "select t.public_id from stripe_objects o join tenants t on t.id = o.tenant_id where o.id = $1", found["id"]
    )
    assert [row["public_id"] for row in owner] == [shop.id]


async def test_separate_charges_carry_no_transfer(api: Api) -> None:
    tenant = await api.tenant(charge_type="separate")
    await tenant.customer()
    await tenant.subscription()
    (found,) = await tenant.at_stripe("subscriptions")
    assert (found["on_behalf_of"], found["transfer_data"]) == (tenant.account, None)


@pytest.mark.alone
async def test_a_direct_tenants_subscription_lives_on_its_account(api: Api) -> None:
    tenant = await api.tenant(charge_type="direct", application_fee_percent=1)
    await tenant.customer()
    made = await tenant.subscription()
    (found,) = await tenant.at_stripe("subscriptions")
    assert found["id"] == made["id"]
    assert (found["on_behalf_of"], found["transfer_data"]) == (None, None)
    assert found["application_fee_percent"] == 1
    assert (await api.sandbox.call("GET", "/v1/subscriptions"))["data"] == []


async def test_several_prices_are_several_items(shop: TenantApi) -> None:
    first, second = await shop.api.sandbox.price(), await shop.api.sandbox.price()
    items = [{"price": first["id"]}, {"price": second["id"], "quantity": 5}]
    reply = await shop.call("POST", PATH, {"items": items, "payment_method": CARD})
    assert {(item["price"], item["quantity"]) for item in reply.json()["items"]} == {
        (first["id"], 1),
        (second["id"], 5),
    }


async def test_a_trial_needs_no_card(shop: TenantApi) -> None:
    price = (await shop.api.sandbox.price())["id"]
    made = (await shop.call("POST", PATH, {"price": price, "trial_period_days": 14})).json()
    assert made["status"] == "trialing"
    assert made["trial_end"] is not None


async def test_the_payment_method_becomes_the_default(shop: TenantApi) -> None:
    await shop.subscription()
    customer = await shop.get("/customers/ada")
    found = await shop.api.sandbox.call("GET", f"/v1/customers/{customer['stripe_customer']}")
    default = found["invoice_settings"]["default_payment_method"]
    assert default.startswith("pm_")
    price = (await shop.api.sandbox.price())["id"]
    assert (await shop.call("POST", PATH, {"price": price})).json()["status"] == "active"


async def test_without_any_payment_method_it_is_refused(shop: TenantApi) -> None:
    price = (await shop.api.sandbox.price())["id"]
    problem(await shop.call("POST", PATH, {"price": price}), 422, "payment_method")
    assert await shop.at_stripe("subscriptions") == []


async def test_repeating_with_one_key_starts_one(shop: TenantApi) -> None:
    body = {"price": (await shop.api.sandbox.price())["id"], "payment_method": CARD}
    first = await shop.call("POST", PATH, body, idempotency_key="order-1")
    again = await shop.call("POST", PATH, body, idempotency_key="order-1")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert len(await shop.at_stripe("subscriptions")) == 1
    problem(await shop.call("POST", PATH, body | {"quantity": 2}, idempotency_key="order-1"), 409, "Idempotency-Key")
    assert (await shop.call("POST", PATH, body, idempotency_key="order-2")).json()["id"] != first.json()["id"]


async def test_one_key_of_two_customers_starts_two(shop: TenantApi) -> None:
    await shop.customer("bob")
    body = {"price": (await shop.api.sandbox.price())["id"], "payment_method": CARD}
    for reference in ("ada", "bob"):
        reply = await shop.call("POST", f"/customers/{reference}/subscriptions", body, idempotency_key="order-1")
        assert reply.status_code == 201
    assert len(await shop.at_stripe("subscriptions")) == 2


async def test_what_stripe_refuses_names_our_field(shop: TenantApi, api: Api) -> None:
    good = (await shop.api.sandbox.price())["id"]
    direct = await api.tenant(charge_type="direct")
    foreign = (await shop.api.sandbox.price(direct.account))["id"]
    for body, param in (
        ({"price": "price_unknown"}, "price"),
        ({"price": foreign}, "price"),
        ({"items": [{"price": good}, {"price": "price_unknown"}]}, "items[1].price"),
    ):
        problem(await shop.call("POST", PATH, {**body, "trial_period_days": 1}), 422, param)
    reply = await shop.call("POST", PATH, {"price": good, "payment_method": "pm_unknown"})
    problem(reply, 422, "payment_method")
    declined = await shop.call("POST", PATH, {"price": good, "payment_method": "pm_card_chargeDeclined"})
    assert problem(declined, 422, "payment_method")["code"] == "card_declined"
    assert await shop.at_stripe("subscriptions") == []


async def test_without_stripe_it_is_unavailable(shared_database: ScratchDatabase, shop: TenantApi) -> None:
    async with running_api(shared_database, shop.api.sandbox, stripe=NOWHERE) as down:
        reply = await TenantApi(down, shop.said).call("POST", PATH, {"price": "price_1"})
        problem(reply, 503)
        assert int(reply.headers["retry-after"]) > 0


async def test_the_list_shows_what_events_told(shop: TenantApi) -> None:
    assert await shop.get(PATH) == {"data": [], "next": None}
    await shop.api.sql(
        "insert into subscriptions (tenant_id, id, customer_id, status, started_at, source_created, source_event)"
        " select c.tenant_id, 'sub_1', c.id, 'active', now(), now(), 'evt_1'"
        " from customers c join tenants t on t.id = c.tenant_id where t.public_id = $1",
        shop.id,
    )
    await shop.api.sql(
        "insert into subscription_items (tenant_id, subscription, id, price, product, quantity,"
        " current_period_start, current_period_end)"
        " select id, 'sub_1', 'si_1', 'price_1', 'prod_1', 2, now(), now() from tenants where public_id = $1",
        shop.id,
    )
    (shown,) = (await shop.get(PATH))["data"]
    assert (shown["id"], shown["status"], shown["cancel_at_period_end"]) == ("sub_1", "active", False)
    assert [(item["id"], item["price"], item["quantity"]) for item in shown["items"]] == [("si_1", "price_1", 2)]
    await shop.customer("bob")
    assert (await shop.get("/customers/bob/subscriptions"))["data"] == []
    problem(await shop.call("GET", "/customers/nobody/subscriptions"), 404, "reference")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "price"),
        ({"items": []}, "price"),
        ({"price": "price_1", "items": [{"price": "price_2"}]}, "price"),
        ({"price": "../price"}, "price"),
        ({"price": "price_1", "quantity": -1}, "quantity"),
        ({"price": "price_1", "quantity": 1.5}, "quantity"),
        ({"items": [{"price": "price_1"}], "quantity": 2}, "quantity"),
        ({"items": [{"price": "price_1"}, {"price": "price_1"}]}, "items[1].price"),
        ({"items": [{"quantity": 1}]}, "items[0].price"),
        ({"items": [{"price": "price_1", "product": "x"}]}, "items[0].product"),
        ({"price": "price_1", "trial_period_days": 0}, "trial_period_days"),
        ({"price": "price_1", "payment_method": "card_1"}, "payment_method"),
        ({"price": "price_1", "payment_method": "pm_1/../x"}, "payment_method"),
        ({"price": "price_1", "customer": "cus_1"}, "customer"),
        ({"price": "price_1", "on_behalf_of": "acct_1"}, "on_behalf_of"),
        ({"price": "price_1", "transfer_data": {"destination": "acct_1"}}, "transfer_data"),
    ],
)
async def test_bad_input_is_named_and_asks_nothing_of_stripe(shop: TenantApi, body: dict[str, Any], param: str) -> None:
    before = await shop.api.sandbox.requests()
    problem(await shop.call("POST", PATH, body), 400, param)
    assert await shop.api.sandbox.requests() == before


async def test_an_unknown_customer_is_not_found(fern: TenantApi, kiln: TenantApi) -> None:
    await kiln.customer("ada")
    problem(await fern.call("POST", PATH, {"price": "price_1"}), 404, "reference")

"""What a portal could not sell is found before Stripe is asked to take it, and named by its field."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from colonnade.accounts.service import tenant_by_id
from colonnade.errors import Invalid
from colonnade.portals import planning
from colonnade.portals.configurations import PutConfiguration
from colonnade.settings import Settings
from tests.platform.api import Api, TenantApi, problem
from tests.platform.portals import OPEN, UPDATE, at_stripe, body, listed, offering, post, services_of, writes

PRODUCTS = f"{UPDATE}.products"


async def refused(tenant: TenantApi, wanted: dict[str, Any], param: str, words: str) -> None:
    """A PUT and a plan of *wanted* are refused alike; nothing is written."""
    for method, path in (("POST", f"{OPEN}/plan"), ("PUT", OPEN)):
        found = problem(await tenant.call(method, path, wanted), 400, param)
        assert words in found["detail"]
    assert await writes(tenant) == []
    problem(await tenant.call("GET", OPEN), 404, "name")


@pytest.mark.parametrize("charge_type", ["destination", "direct"])
async def test_prices_that_cannot_be_sold_are_named(api: Api, charge_type: str) -> None:
    fern = await api.tenant(charge_type=charge_type)
    good = await api.sandbox.price(fern.holder)
    other = await api.sandbox.price(fern.holder)
    gone = await api.sandbox.price(fern.holder, good["product"], 9000)
    await api.sandbox.call("POST", f"/v1/prices/{gone['id']}", {"active": "false"}, fern.holder)
    form = {"product": good["product"], "currency": "eur", "unit_amount": "500"}
    once = await api.sandbox.call("POST", "/v1/prices", form, fern.holder)
    archived = await api.sandbox.price(fern.holder)
    await api.sandbox.call("POST", f"/v1/products/{archived['product']}", {"active": "false"}, fern.holder)
    unknown = {"product": good["product"], "id": "price_none"}
    for entry, field, words in (
        (listed(good, gone), "prices[1]", "archived"),
        (listed(good, other), "prices[1]", f"is one of product {other['product']}"),
        (listed(good, once), "prices[1]", "recurring"),
        (listed(good, unknown), "prices[1]", "no price price_none"),
        (listed(good) | {"product": "prod_none"}, "product", "no product prod_none"),
        (listed(archived), "product", "archived"),
    ):
        await refused(fern, offering(entry), f"{PRODUCTS}[0].{field}", words)
    await refused(fern, offering(listed(other), listed(good, gone)), f"{PRODUCTS}[1].prices[1]", "archived")


async def test_prices_of_the_other_side_are_unknown(api: Api) -> None:
    """A direct tenant's catalogue is its account's; the others' is the platform's."""
    direct, fern = await api.tenant(charge_type="direct"), await api.tenant()
    for tenant, holder in ((direct, None), (fern, direct.holder)):
        price = await api.sandbox.price(holder)
        await refused(tenant, offering(listed(price)), f"{PRODUCTS}[0].product", "no product")


async def test_what_another_tenant_sells_is_as_if_it_were_not_there(fern: TenantApi, kiln: TenantApi) -> None:
    theirs, own = await kiln.api.sandbox.price(), await kiln.api.sandbox.price()
    await kiln.put("/plans/pro", {"name": "Pro", "price": theirs["id"]})
    await kiln.put("/plans/whole", {"name": "Whole", "product": own["product"]})
    await refused(fern, offering(listed(theirs)), f"{PRODUCTS}[0].prices[0]", f"no price {theirs['id']}")
    await refused(fern, offering(listed(own)), f"{PRODUCTS}[0].product", f"no product {own['product']}")
    marked = await fern.api.sandbox.price()
    claim = {"metadata[colonnade_tenant]": kiln.id}
    await fern.api.sandbox.call("POST", f"/v1/prices/{marked['id']}", claim)
    await refused(fern, offering(listed(marked)), f"{PRODUCTS}[0].prices[0]", f"no price {marked['id']}")
    assert (await kiln.put(OPEN, offering({"plan": "pro"})))["state"] == "applied"


async def test_what_two_tenants_sell_both_may_offer(fern: TenantApi, kiln: TenantApi) -> None:
    price = await fern.api.sandbox.price()
    for tenant in (fern, kiln):
        await tenant.put("/plans/pro", {"name": "Pro", "price": price["id"]})
        assert (await tenant.put(OPEN, offering({"plan": "pro"})))["state"] == "applied"


async def test_at_most_ten_products_however_they_are_named(fern: TenantApi) -> None:
    prices = [await fern.api.sandbox.price() for _ in range(11)]
    for number, price in enumerate(prices):
        await fern.put(f"/plans/p{number}", {"name": "Plan", "price": price["id"]})
    await refused(fern, offering(*({"plan": f"p{n}"} for n in range(11))), PRODUCTS, "11")
    again = [await fern.api.sandbox.price(product=prices[0]["product"], amount=100 + n) for n in range(2)]
    for number, price in enumerate(again, 11):
        await fern.put(f"/plans/p{number}", {"name": "Plan", "price": price["id"]})
    made = await fern.put(OPEN, offering(*({"plan": f"p{n}"} for n in (*range(10), 11, 12))))
    offered = (await at_stripe(fern, made))["features"]["subscription_update"]["products"]
    assert (len(offered), sum(len(each["prices"]) for each in offered)) == (10, 12)


async def test_plans_of_one_product_agree_on_its_quantity(fern: TenantApi) -> None:
    one = await fern.api.sandbox.price()
    two = await fern.api.sandbox.price(product=one["product"], amount=9000)
    for key, price in (("one", one), ("two", two)):
        await fern.put(f"/plans/{key}", {"name": "Plan", "price": price["id"]})
    wanted = [
        {"plan": key, "adjustable_quantity": {"enabled": True, "maximum": n}} for n, key in ((5, "one"), (6, "two"))
    ]
    await refused(fern, offering(*wanted), f"{PRODUCTS}[1].adjustable_quantity", "Another plan")


async def test_a_price_of_the_other_mode_is_named(fern: TenantApi) -> None:
    price = await fern.api.sandbox.price()  # the sandbox has test mode only
    wanted = msgspec.convert(offering(listed(price)), PutConfiguration)
    async with services_of(fern) as services:
        live = replace(services, settings=Settings(stripe_api_key="sk_live_1"))
        with pytest.raises(Invalid, match="is of test mode") as error:
            await planning.plan(live, await tenant_by_id(services, fern.id), "main", wanted)
    assert error.value.param == f"{PRODUCTS}[0].product"


async def test_prices_that_customers_have_and_the_portal_lacks_are_listed_with_counts(fern: TenantApi) -> None:
    offered, legacy, ended = [await fern.api.sandbox.price() for _ in range(3)]
    for name, price, status in (
        ("ada", offered, "active"),
        ("bob", legacy, "past_due"),
        ("cem", legacy, "trialing"),
        ("dee", ended, "canceled"),
    ):
        await subscribed(fern, name, price, status)
    wanted = offering(listed(offered))
    made = await fern.put(OPEN, wanted)
    (warning,) = made["warnings"]
    missing = {"price": legacy["id"], "product": legacy["product"], "customers": 2}
    assert (warning["param"], warning["missing"]) == (PRODUCTS, [missing])
    assert (await post(fern, f"{OPEN}/plan", wanted))["warnings"] == [warning]
    assert (await fern.get(OPEN))["warnings"] == []
    before = await writes(fern)
    problem(await fern.call("PUT", f"{OPEN}?strict=true", body() | wanted), 400, PRODUCTS)
    assert await writes(fern) == before
    assert (await fern.put(f"{OPEN}?strict=true", offering(listed(offered), listed(legacy))))["warnings"] == []


async def subscribed(tenant: TenantApi, reference: str, price: dict[str, Any], status: str) -> None:
    """The tenant's mirror has a subscription of that customer's."""
    await tenant.customer(reference)
    (owner,) = await tenant.api.sql("select id from tenants where public_id = $1", tenant.id)
    await tenant.api.sql(
        "insert into subscriptions (tenant_id, id, customer_id, status, started_at, source_created, source_event)"
        " select $1, $2, id, $3, now(), now(), 'evt_1' from customers where reference = $4 and tenant_id = $1",
        *(owner["id"], f"sub_{reference}", status, reference),
    )
    await tenant.api.sql(
        "insert into subscription_items (tenant_id, subscription, id, price, product, quantity, current_period_start,"
        " current_period_end) values ($1, $2, $3, $4, $5, 1, now(), now())",
        *(owner["id"], f"sub_{reference}", f"si_{reference}", price["id"], price["product"]),
    )


async def test_a_deferral_that_cannot_be_is_told(fern: TenantApi) -> None:
    one, two = await fern.api.sandbox.price(), await fern.api.sandbox.price()
    yearly = await fern.api.sandbox.price(product=one["product"], amount=9000)
    path = f"{UPDATE}.schedule_at_period_end.conditions"
    waits = {"schedule_at_period_end": {"conditions": [{"type": "shortening_interval"}]}}
    await refused(fern, offering(listed(one), listed(two), **waits), path, "one product")
    made = await fern.put(OPEN, offering(listed(one, yearly), listed(two), **waits))
    assert [warning["param"] for warning in made["warnings"]] == [path]
    assert (await fern.put(OPEN, offering(listed(one, yearly), **waits)))["warnings"] == []


def test_the_settings_say_how_often_the_worker_looks() -> None:
    assert Settings.load({"COLONNADE_PORTAL_CHECK_SECONDS": "0"}).portal_check_seconds == 0

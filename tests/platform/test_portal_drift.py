"""Edits that others make at Stripe are found, told from our own, and adopted or reverted; archived prices go."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.portals.keeping import keep_due
from colonnade.stripe_api.charges import qualified
from colonnade.webhooks.dispatch import Dispatcher
from colonnade.webhooks.extensions import Extensions
from colonnade_tenants.handlers import HANDLERS, Handler
from tests.platform import deliveries
from tests.platform.api import Api, TenantApi, problem
from tests.platform.portals import (
    OPEN,
    at_stripe,
    body,
    edit,
    listed,
    offering,
    post,
    services_of,
    worker_looks,
    writes,
)

pytestmark = pytest.mark.slow

HEADLINE = {"field": "business_profile.headline", "before": None, "after": "Hello"}


async def noticed(tenant: TenantApi, *events: dict[str, Any], handlers: Mapping[str, Handler] = HANDLERS) -> None:
    """The worker handles *events* with *handlers*, as they came from the account that holds the tenant's customers."""
    account, endpoint = tenant.holder, "connect" if tenant.holder else "platform"
    for event in events:
        thing = qualified(account, event["data"]["object"]["id"])
        sent = json.dumps(event | ({"account": account} if account else {})).encode()
        await tenant.api.sql(
            "insert into inbox (event_id, endpoint, account, type, object_id, created, livemode, body) "
            "values ($1, $2, $3, $4, $5, now(), false, $6)",
            *(event["id"], endpoint, account, event["type"], thing, sent),
        )
    async with services_of(tenant) as services:
        dispatcher = Dispatcher(services.stripe, handlers, Extensions(services.stripe, ()))
        async with await create_pool(tenant.api.database.service_url, Duty.WORKER, size=1) as pool:
            await dispatcher.batch(pool)


def updated(configuration: dict[str, Any], key: str | None = None, **fields: Any) -> dict[str, Any]:
    """The event of an edit."""
    thing = {"id": configuration["stripe_configuration"], "object": "billing_portal.configuration"}
    request = {"id": "req_1", "idempotency_key": key}
    return deliveries.event("billing_portal.configuration.updated", thing, request=request, **fields)


async def due(tenant: TenantApi) -> list[tuple[bool, str | None]]:
    """Whether the worker is to look now, and the event that says so."""
    rows = await tenant.api.sql(
        "select due_at <= clock_timestamp() as now, event from portal_work w join tenants t on t.id = w.tenant_id "
        "where t.public_id = $1 order by w.name",
        tenant.id,
    )
    return [(row["now"], row["event"]) for row in rows]


async def test_an_edit_at_stripe_is_reported_until_it_is_reverted(fern: TenantApi) -> None:
    made = await fern.put(OPEN, body())
    await edit(fern, made, business_profile__headline="Hello")
    outside = updated(made)
    await noticed(fern, outside)
    assert await due(fern) == [(True, outside["id"])]
    before = await writes(fern)
    await worker_looks(fern)
    drift = (await fern.get(OPEN))["drift"]
    assert (drift["state"], drift["differences"], drift["event"]) == ("open", [HEADLINE], outside["id"])
    await worker_looks(fern)
    assert (await fern.get(OPEN))["drift"] == drift
    assert await writes(fern) == before
    back = await post(fern, f"{OPEN}/revert")
    assert (back["drift"]["state"], back["drift"]["resolved_by"][:4], back["version"]) == ("reverted", "key_", 1)
    assert (await at_stripe(fern, made))["business_profile"]["headline"] is None
    before = await writes(fern)
    await post(fern, f"{OPEN}/revert")
    await post(fern, f"{OPEN}/apply")
    assert await writes(fern) == before


async def test_an_edit_of_products_is_found_though_no_event_shows_it(fern: TenantApi) -> None:
    monthly = await fern.api.sandbox.price()
    yearly = await fern.api.sandbox.price(product=monthly["product"], amount=9000)
    made = await fern.put(OPEN, offering(listed(monthly)))
    update = "features__subscription_update__products__0"
    await edit(
        fern,
        made,
        **{
            f"{update}__product": monthly["product"],
            f"{update}__prices__0": monthly["id"],
            f"{update}__prices__1": yearly["id"],
        },
    )
    checked = await post(fern, f"{OPEN}/check")
    (difference,) = checked["drift"]["differences"]
    assert difference["field"] == f"features.subscription_update.products[{monthly['product']}].prices"
    assert (difference["before"], difference["after"]) == ([monthly["id"]], sorted([monthly["id"], yearly["id"]]))
    adopted = await post(fern, f"{OPEN}/adopt")
    (product,) = adopted["features"]["subscription_update"]["products"]
    assert product["prices"] == sorted([monthly["id"], yearly["id"]])
    assert (adopted["drift"]["state"], adopted["version"], adopted["state"]) == ("adopted", 2, "applied")
    assert (await fern.get(f"{OPEN}/versions"))["data"][0]["change"] == "adopt"
    assert (await post(fern, f"{OPEN}/check"))["drift"] == adopted["drift"]


async def test_an_adopted_edit_keeps_plans_and_the_brands_links(fern: TenantApi) -> None:
    price = await fern.api.sandbox.price()
    await fern.put("/plans/pro", {"name": "Pro", "price": price["id"]})
    await fern.put("/branding", {"name": "Fern", "privacy_policy_url": "https://fern.example/privacy"})
    made = await fern.put(OPEN, offering({"plan": "pro"}))
    await edit(fern, made, business_profile__headline="Hello")
    adopted = await post(fern, f"{OPEN}/adopt")
    assert adopted["business_profile"] == {
        "headline": "Hello",
        "privacy_policy_url": None,
        "terms_of_service_url": None,
    }
    assert [each["plan"] for each in adopted["features"]["subscription_update"]["products"]] == ["pro"]


async def test_by_policy_an_edit_is_reverted_at_once(fern: TenantApi) -> None:
    assert (await fern.get("/portal-policy"))["drift"] == "report"
    await fern.put("/portal-policy", {"drift": "revert"})
    made = await fern.put(OPEN, body())
    await edit(fern, made, business_profile__headline="Hello", active="false")
    await noticed(fern, updated(made))
    await worker_looks(fern)
    there = await at_stripe(fern, made)
    assert (there["business_profile"]["headline"], there["active"]) == (None, True)
    drift = (await fern.get(OPEN))["drift"]
    assert (drift["state"], drift["resolved_by"]) == ("reverted", None)
    assert {each["field"] for each in drift["differences"]} == {"active", "business_profile.headline"}


async def test_a_policy_that_reverts_reaches_what_is_open_already(fern: TenantApi, kiln: TenantApi) -> None:
    for tenant in (fern, kiln):
        await edit(tenant, await tenant.put(OPEN, body()), business_profile__headline="Hello")
        assert (await post(tenant, f"{OPEN}/check"))["drift"]["state"] == "open"
    await fern.put("/portal-policy", {"drift": "report"})
    assert await due(fern) == [(False, None)]
    await fern.put("/portal-policy", {"drift": "revert"})
    assert (await due(fern), await due(kiln)) == ([(True, None)], [(False, None)])
    async with services_of(fern) as services:
        assert await keep_due(services)
    assert (await fern.get(OPEN))["drift"]["state"] == "reverted"
    assert (await kiln.get(OPEN))["drift"]["state"] == "open"


async def test_our_own_echo_says_nothing_new(fern: TenantApi) -> None:
    made = await fern.put(OPEN, body())
    (written,) = [row for row in await fern.api.sandbox.requests() if "billing_portal" in row["path"]]
    assert written["idempotency_key"].startswith("portal:")
    await noticed(fern, updated(made, written["idempotency_key"]))
    assert await due(fern) == [(False, None)]
    # Somebody's key that only looks alike is nobody's of ours.
    await noticed(fern, updated(made, "portalkey"))
    assert (await due(fern))[0][0]


@pytest.mark.parametrize("charge_type", ["destination", "direct"])
async def test_an_archived_price_is_taken_out_and_reported(api: Api, charge_type: str) -> None:
    fern = await api.tenant(charge_type=charge_type)
    kept = await api.sandbox.price(fern.holder)
    gone = await api.sandbox.price(fern.holder, kept["product"], 9000)
    made = await fern.put(OPEN, offering(listed(kept, gone)))
    await api.sandbox.call("POST", f"/v1/prices/{gone['id']}", {"active": "false"}, fern.holder)
    told = deliveries.event("price.updated", {"id": gone["id"], "object": "price"})
    await noticed(fern, told)
    assert await due(fern) == [(True, told["id"])]
    await worker_looks(fern)
    found = await fern.get(OPEN)
    assert (found["version"], found["state"], found["drift"]["state"]) == (2, "applied", "repaired")
    (archived,) = found["drift"]["archived"]
    assert (archived["price"], archived["product"]) == (gone["id"], gone["product"])
    assert found["drift"]["event"] == told["id"]
    (product,) = (await at_stripe(fern, made))["features"]["subscription_update"]["products"]
    assert product["prices"] == [kept["id"]]
    version = (await fern.get(f"{OPEN}/versions"))["data"][0]
    assert (version["change"], version["author"]) == ("repair", None)


async def test_the_last_price_and_a_whole_product_may_be_archived(fern: TenantApi) -> None:
    price = await fern.api.sandbox.price()
    await fern.put("/plans/pro", {"name": "Pro", "price": price["id"]})
    await fern.put(OPEN, offering({"plan": "pro"}, default_allowed_updates=["price", "promotion_code"]))
    await fern.put("/portal-configurations/switching", offering({"plan": "pro"}))
    await fern.api.sandbox.call("POST", f"/v1/products/{price['product']}", {"active": "false"})
    await worker_looks(fern)
    update = (await fern.get(OPEN))["features"]["subscription_update"]
    assert (update["enabled"], update["default_allowed_updates"], update["products"]) == (True, ["promotion_code"], [])
    switching = await fern.get("/portal-configurations/switching")
    assert not switching["features"]["subscription_update"]["enabled"]
    assert switching["drift"]["state"] == "repaired"


async def test_an_archived_price_beside_an_edit_is_left_to_the_tenant(fern: TenantApi) -> None:
    kept = await fern.api.sandbox.price()
    gone = await fern.api.sandbox.price(product=kept["product"], amount=9000)
    made = await fern.put(OPEN, offering(listed(kept, gone)))
    await fern.api.sandbox.call("POST", f"/v1/prices/{gone['id']}", {"active": "false"})
    await edit(fern, made, business_profile__headline="Hello")
    before = await writes(fern)
    await worker_looks(fern)
    drift = (await fern.get(OPEN))["drift"]
    assert (drift["state"], drift["differences"], len(drift["archived"])) == ("open", [HEADLINE], 1)
    assert await writes(fern) == before
    adopted = await post(fern, f"{OPEN}/adopt")
    assert adopted["business_profile"]["headline"] == "Hello"
    assert adopted["features"]["subscription_update"]["products"][0]["prices"] == [kept["id"]]


async def test_a_price_that_several_tenants_offer_is_looked_at_for_each(fern: TenantApi, kiln: TenantApi) -> None:
    price = await fern.api.sandbox.price()
    for tenant in (fern, kiln):
        await tenant.put("/plans/pro", {"name": "Pro", "price": price["id"]})
        await tenant.put(OPEN, offering({"plan": "pro"}))
    await noticed(fern, deliveries.event("price.updated", {"id": price["id"], "object": "price"}))
    assert [await due(tenant) for tenant in (fern, kiln)] == [
        [(True, (await due(fern))[0][1])],
        [(True, (await due(kiln))[0][1])],
    ]


async def test_a_handler_that_waits_holds_no_work_up(api: Api) -> None:
    fern = await api.tenant(charge_type="direct")
    made = await fern.put(OPEN, body())
    free = []

    async def wait(*_: Any) -> None:
        free.extend(await api.sql("select from portal_work where objects <> '{}' for update nowait"))

    outside = updated(made)
    await noticed(fern, outside, handlers={outside["type"]: wait})
    assert free
    assert await due(fern) == [(True, outside["id"])]


async def test_an_account_cannot_pass_its_objects_for_others(api: Api, fern: TenantApi) -> None:
    """Whoever has an account chooses its products' ids: an event from there is about that account alone."""
    made = await fern.put(OPEN, body())
    direct = await api.tenant(charge_type="direct")
    await noticed(direct, updated(made))
    assert await due(fern) == [(False, None)]


async def test_what_is_not_known_here_cannot_be_adopted(fern: TenantApi) -> None:
    made = await fern.put(OPEN, body())
    # What a later version of Stripe's API might say, which this one has no word for.
    await fern.api.sql(
        "update portal_configurations set applied_version = null where stripe_configuration = $1",
        made["stripe_configuration"],
    )
    problem(await fern.call("POST", f"{OPEN}/adopt", {}), 409, "name")
    problem(await fern.call("POST", f"{OPEN}/revert", {}), 409, "name")


@pytest.mark.parametrize(
    ("sent", "param"),
    [({}, "drift"), ({"drift": "adopt"}, "drift"), ({"drift": None}, "drift"), ({"drift": "report", "x": 1}, "x")],
)
async def test_a_bad_policy_is_named(fern: TenantApi, sent: Any, param: str) -> None:
    problem(await fern.call("PUT", "/portal-policy", sent), 400, param)
    assert (await fern.get("/portal-policy"))["updated_at"] is None

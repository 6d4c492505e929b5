"""Features and plans by API, and what a customer may use of them."""

import asyncio
from typing import Any

import pytest

from colonnade_tenants.entitlements.rows import CHANNEL
from tests.platform.api import TenantApi, problem

SEATS = {"kind": "quantity", "name": "Seats", "unit": "seats"}
EXPORT = {"kind": "flag", "name": "Export"}
PRO = {"name": "Pro", "price": "price_pro", "grants": [{"feature": "seats", "value": 5, "per_unit": True}]}


@pytest.fixture
async def shop(fern: TenantApi) -> TenantApi:
    """A tenant with two features and a plan of one of them."""
    await fern.put("/features/seats", SEATS)
    await fern.put("/features/export", EXPORT)
    await fern.put("/plans/pro", PRO)
    return fern


async def test_a_feature_is_put_read_changed_and_deleted(fern: TenantApi) -> None:
    made = await fern.put("/features/seats", SEATS)
    assert made == {"key": "seats", "description": None, "combine": "sum", "fallback": 0, "version": 1, **SEATS}
    assert await fern.get("/features/seats") == made
    changed = await fern.put("/features/seats", SEATS | {"name": "Places"})
    assert changed["name"] == (await fern.get("/features/seats"))["name"] == "Places"
    assert (await fern.call("DELETE", "/features/seats")).status_code == 204
    problem(await fern.call("GET", "/features/seats"), 404, "key")
    problem(await fern.call("DELETE", "/features/seats"), 404, "key")


async def test_a_plan_is_put_read_changed_and_deleted(shop: TenantApi) -> None:
    assert await shop.get("/plans/pro") == {"key": "pro", "product": None, "version": 1, **PRO}
    changed = await shop.put(
        "/plans/pro", {"name": "Pro", "product": "prod_1", "grants": [{"feature": "export", "value": True}]}
    )
    assert changed == await shop.get("/plans/pro")
    assert (changed["price"], changed["product"]) == (None, "prod_1")
    assert changed["grants"] == [{"feature": "export", "value": True, "per_unit": False}]
    assert (await shop.call("DELETE", "/plans/pro")).status_code == 204
    problem(await shop.call("GET", "/plans/pro"), 404, "key")
    problem(await shop.call("DELETE", "/plans/pro"), 404, "key")


async def test_what_is_granted_stays(shop: TenantApi) -> None:
    problem(await shop.call("DELETE", "/features/seats"), 409)
    problem(await shop.call("PUT", "/features/seats", EXPORT), 409, "kind")
    assert (await shop.get("/features/seats"))["kind"] == "quantity"


async def test_a_price_is_of_one_plan(shop: TenantApi) -> None:
    problem(await shop.call("PUT", "/plans/other", PRO), 409, "price")
    problem(await shop.call("GET", "/plans/other"), 404, "key")


async def test_both_are_listed_by_key_page_by_page(shop: TenantApi) -> None:
    await shop.put("/features/api", {"kind": "limit", "name": "API calls"})
    first = await shop.get("/features?limit=2")
    rest = await shop.get(f"/features?limit=2&after={first['next']}")
    assert [row["key"] for row in first["data"] + rest["data"]] == ["api", "export", "seats"]
    assert rest["next"] is None
    await shop.put("/plans/basic", {"name": "Basic", "product": "prod_basic"})
    first = await shop.get("/plans?limit=1")
    rest = await shop.get(f"/plans?limit=1&after={first['next']}")
    assert [row["key"] for row in first["data"] + rest["data"]] == ["basic", "pro"]


async def test_tenants_have_catalogues_of_their_own(shop: TenantApi, kiln: TenantApi) -> None:
    assert (await kiln.get("/features"))["data"] == []
    problem(await kiln.call("GET", "/plans/pro"), 404, "key")
    problem(await kiln.call("PUT", "/plans/pro", PRO), 400, "grants[0].feature")
    problem(await kiln.call("DELETE", "/features/export"), 404, "key")
    await kiln.put("/plans/pro", PRO | {"grants": []})
    assert (await shop.get("/plans/pro"))["grants"] != []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/features/new", {"kind": "feeling", "name": "New"}, "kind"),
        ("/features/new", {"kind": "flag"}, "name"),
        ("/features/new", {"kind": "flag", "name": ""}, "name"),
        ("/features/new", {"kind": "flag", "name": "New", "unit": "x"}, "unit"),
        ("/features/new", {"kind": "flag", "name": "New", "key": "old"}, "key"),
        ("/features/New", {"kind": "flag", "name": "New"}, "key"),
        ("/plans/new", {"name": "New"}, "price"),
        ("/plans/new", {"name": "New", "price": "prod_1"}, "price"),
        ("/plans/new", {"name": "New", "price": "price_1", "product": "prod_1"}, "product"),
        (
            "/plans/new",
            {"name": "New", "price": "price_1", "grants": [{"feature": "none", "value": 1}]},
            "grants[0].feature",
        ),
        (
            "/plans/new",
            {"name": "New", "price": "price_1", "grants": [{"feature": "export", "value": 2}]},
            "grants[0].value",
        ),
        (
            "/plans/new",
            {"name": "New", "price": "price_1", "grants": [{"feature": "seats", "worth": 2}]},
            "grants[0].worth",
        ),
        ("/plans/new", {"name": "New", "price": "price_1", "surprise": 1}, "surprise"),
        ("/plans/NEW", {"name": "New", "price": "price_1"}, "key"),
    ],
)
async def test_bad_input_is_named_and_writes_nothing(
    shop: TenantApi, path: str, body: dict[str, Any], param: str
) -> None:
    problem(await shop.call("PUT", path, body), 400, param)
    assert len((await shop.get("/features"))["data"]) == 2
    assert len((await shop.get("/plans"))["data"]) == 1


async def grant(tenant: TenantApi, feature: str, value: int | None, until: str) -> None:
    """What the worker writes, and announces, once a subscription's event was applied."""
    await tenant.api.sql(
        "with given as (insert into entitlements"
        " (tenant_id, customer_id, feature, valid_from, valid_until, kind, value, sources)"
        " select c.tenant_id, c.id, f.key, now() - interval '1 hour', now() + $3::text::interval, f.kind, $4, '{si_1}'"
        " from customers c join tenants t on t.id = c.tenant_id join features f on f.tenant_id = t.id and f.key = $2"
        " where t.public_id = $1 and c.reference = 'ada' returning tenant_id)"
        " select pg_notify($5, tenant_id || ':*') from given",
        tenant.id,
        feature,
        until,
        value,
        CHANNEL,
    )
    await asyncio.sleep(0.1)  # on its way to the web process, which has no time to hear it otherwise


async def test_entitlements_are_what_is_granted_now(shop: TenantApi) -> None:
    await shop.customer("ada")
    assert (await shop.get("/customers/ada/entitlements"))["data"] == []
    seats = await shop.get("/customers/ada/entitlements/seats")
    assert (seats["granted"], seats["value"]) == (False, 0)
    await grant(shop, "seats", 15, "1 day")
    await grant(shop, "export", 1, "-1 second")
    listed = await shop.get("/customers/ada/entitlements")
    assert [(row["feature"], row["value"], row["sources"]) for row in listed["data"]] == [("seats", 15, ["si_1"])]
    assert listed["as_of"] < listed["data"][0]["valid_until"]
    assert (await shop.get("/customers/ada/entitlements/seats"))["granted"]
    export = await shop.get("/customers/ada/entitlements/export")
    assert (export["granted"], export["value"]) == (False, False)


async def test_an_unknown_customer_or_feature_is_not_found(shop: TenantApi, kiln: TenantApi) -> None:
    problem(await shop.call("GET", "/customers/ada/entitlements"), 404, "reference")
    problem(await shop.call("GET", "/customers/ada/entitlements/seats"), 404, "reference")
    await shop.customer("ada")
    problem(await shop.call("GET", "/customers/ada/entitlements/none"), 404, "feature")
    problem(await kiln.call("GET", "/customers/ada/entitlements"), 404, "reference")
    await kiln.customer("ada")
    await grant(shop, "seats", 5, "1 day")
    assert (await kiln.get("/customers/ada/entitlements"))["data"] == []
    problem(await kiln.call("GET", "/customers/ada/entitlements/seats"), 404, "feature")

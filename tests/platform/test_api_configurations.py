"""Portal configurations are desired state: written once, kept at Stripe, and refused where they could not work."""

import asyncio
from typing import Any

import pytest

from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, RETURN_URL, Api, TenantApi, problem, running_api

CREATE = "/v1/billing_portal/configurations"
CANCEL = {"subscription_cancel": {"enabled": True}}


def body(**features: Any) -> dict[str, Any]:
    return {"features": CANCEL | features, "default_return_url": RETURN_URL}


def offering(*products: dict[str, Any]) -> dict[str, Any]:
    update = {"enabled": True, "default_allowed_updates": ["price"], "products": list(products)}
    return body(subscription_update=update)


async def writes(tenant: TenantApi) -> list[str]:
    """The paths of the writes to portal configurations at Stripe."""
    return [row["path"] for row in await tenant.api.sandbox.requests() if row["path"].startswith(CREATE)]


async def at_stripe(tenant: TenantApi, configuration: dict[str, Any]) -> dict[str, Any]:
    path = f"{CREATE}/{configuration['stripe_configuration']}?expand[]=features.subscription_update.products"
    return await tenant.api.sandbox.call("GET", path, account=tenant.holder)


async def test_the_first_configuration_is_at_stripe_and_the_default(fern: TenantApi) -> None:
    made = await fern.put("/portal-configurations/main", body() | {"business_profile": {"headline": "Fern billing"}})
    assert (made["name"], made["version"], made["state"], made["default"]) == ("main", 1, "applied", True)
    found = await at_stripe(fern, made)
    assert found["business_profile"]["headline"] == "Fern billing"
    assert found["features"]["subscription_cancel"]["enabled"]
    assert not found["features"]["invoice_history"]["enabled"]
    assert found["default_return_url"] == RETURN_URL
    assert found["metadata"] == {
        "colonnade_tenant": fern.id,
        "colonnade_configuration": "main",
        "colonnade_version": "1",
    }
    assert await fern.get("/portal-configurations/main") == made
    owner = await fern.api.sql(
        "select t.public_id from stripe_objects o join tenants t on t.id = o.tenant_id where o.id = $1",
        made["stripe_configuration"],
    )
    assert [row["public_id"] for row in owner] == [fern.id]


async def test_the_same_content_again_writes_nothing_at_stripe(fern: TenantApi) -> None:
    features = {"customer_update": {"enabled": True, "allowed_updates": ["name", "email"]}}
    made = await fern.put("/portal-configurations/main", body(**features))
    before = await writes(fern)
    features["customer_update"]["allowed_updates"] = ["email", "name", "email"]
    again = await fern.put("/portal-configurations/main", body(**features) | {"metadata": {}})
    assert again == made
    assert await writes(fern) == before


async def test_a_change_updates_the_same_configuration_at_stripe(fern: TenantApi) -> None:
    price = await fern.api.sandbox.price()
    listed = {
        "product": price["product"],
        "prices": [price["id"]],
        "adjustable_quantity": {"enabled": True, "maximum": 9},
    }
    full = offering(listed) | {"business_profile": {"headline": "Hello"}, "metadata": {"a": "1", "b": "2"}}
    first = await fern.put("/portal-configurations/main", full)
    (product,) = (await at_stripe(fern, first))["features"]["subscription_update"]["products"]
    assert (product["product"], product["prices"]) == (price["product"], [price["id"]])
    assert product["adjustable_quantity"]["maximum"] == 9

    update = {"enabled": True, "default_allowed_updates": ["promotion_code"]}
    second = await fern.put(
        "/portal-configurations/main", {"features": {"subscription_update": update}, "metadata": {"b": "3"}}
    )
    assert second["stripe_configuration"] == first["stripe_configuration"]
    assert (second["version"], second["state"]) == (2, "applied")
    found = await at_stripe(fern, second)
    assert found["features"]["subscription_update"]["products"] == []
    assert found["features"]["subscription_update"]["default_allowed_updates"] == ["promotion_code"]
    assert not found["features"]["subscription_cancel"]["enabled"]
    assert found["business_profile"]["headline"] is None
    assert found["default_return_url"] is None
    assert {key: value for key, value in found["metadata"].items() if not key.startswith("colonnade")} == {"b": "3"}


async def test_every_feature_arrives_as_it_was_written(fern: TenantApi) -> None:
    price = await fern.api.sandbox.price()
    features: dict[str, Any] = {
        "customer_update": {"enabled": True, "allowed_updates": ["address", "email", "tax_id"]},
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {
            "enabled": True,
            "mode": "immediately",
            "proration_behavior": "create_prorations",
            "cancellation_reason": {"enabled": True, "options": ["other", "unused"]},
        },
        "subscription_pause": {
            "enabled": True,
            "duration": {"type": "interval_options", "interval_options": [{"interval": "week", "interval_count": 2}]},
        },
        "subscription_update": {
            "enabled": True,
            "default_allowed_updates": ["price", "quantity"],
            "products": [{"product": price["product"], "prices": [price["id"]]}],
            "proration_behavior": "always_invoice",
            "billing_cycle_anchor": "now",
            "schedule_at_period_end": {"conditions": [{"type": "decreasing_item_amount"}]},
            "trial_update_behavior": "continue_trial",
        },
    }
    made = await fern.put("/portal-configurations/all", {"features": features})
    found = (await at_stripe(fern, made))["features"]
    del features["subscription_update"]["products"]
    for name, wanted in features.items():
        for field, value in wanted.items():
            if isinstance(value, dict):
                assert {key: found[name][field][key] for key in value} == value
            else:
                assert found[name][field] == value, (name, field)


async def test_plans_stand_for_their_prices(fern: TenantApi) -> None:
    monthly = await fern.api.sandbox.price()
    yearly = await fern.api.sandbox.price(product=monthly["product"], amount=9000)
    other = await fern.api.sandbox.price()
    await fern.put("/plans/monthly", {"name": "Monthly", "price": monthly["id"]})
    await fern.put("/plans/yearly", {"name": "Yearly", "price": yearly["id"]})
    await fern.put("/plans/whole", {"name": "Whole", "product": other["product"]})
    wanted = offering({"plan": "monthly"}, {"plan": "yearly"}, {"plan": "whole", "prices": [other["id"]]})
    made = await fern.put("/portal-configurations/main", wanted)
    offered = (await at_stripe(fern, made))["features"]["subscription_update"]["products"]
    assert {product["product"]: product["prices"] for product in offered} == {
        monthly["product"]: sorted([monthly["id"], yearly["id"]]),
        other["product"]: [other["id"]],
    }
    assert [entry["plan"] for entry in made["features"]["subscription_update"]["products"]] == [
        "monthly",
        "whole",
        "yearly",
    ]
    path = "features.subscription_update.products"
    for products, param in (
        ([{"plan": "none"}], f"{path}[0].plan"),
        ([{"plan": "monthly"}, {"plan": "whole"}], f"{path}[1].prices"),
        ([{"plan": "monthly", "prices": [monthly["id"]]}], f"{path}[0].prices"),
    ):
        problem(await fern.call("PUT", "/portal-configurations/main", offering(*products)), 400, param)
    await fern.put("/plans/gone", {"name": "Gone", "price": "price_unknown"})
    reply = await fern.call("PUT", "/portal-configurations/main", offering({"plan": "gone"}))
    problem(reply, 400, f"{path}[0]")


async def test_a_plan_that_became_another_price_is_a_new_version(fern: TenantApi) -> None:
    old, new = await fern.api.sandbox.price(), await fern.api.sandbox.price()
    await fern.put("/plans/pro", {"name": "Pro", "price": old["id"]})
    first = await fern.put("/portal-configurations/main", offering({"plan": "pro"}))
    await fern.put("/plans/pro", {"name": "Pro", "price": new["id"]})
    second = await fern.put("/portal-configurations/main", offering({"plan": "pro"}))
    assert second["version"] == first["version"] + 1
    (product,) = (await at_stripe(fern, second))["features"]["subscription_update"]["products"]
    assert product["prices"] == [new["id"]]


async def test_one_configuration_is_the_default(fern: TenantApi) -> None:
    await fern.configuration("first")
    await fern.configuration("second")
    assert [row["default"] for row in (await fern.get("/portal-configurations"))["data"]] == [True, False]
    await fern.configuration("second", default=True)
    assert [row["default"] for row in (await fern.get("/portal-configurations"))["data"]] == [False, True]
    before = await writes(fern)
    changed = body(invoice_history={"enabled": True}) | {"default": False}
    problem(await fern.call("PUT", "/portal-configurations/second", changed), 409, "default")
    assert await writes(fern) == before
    assert (await fern.get("/portal-configurations/second"))["default"]


async def test_configurations_made_at_once_have_one_default(fern: TenantApi) -> None:
    await asyncio.gather(*(fern.configuration(name) for name in ("a", "b", "c", "a", "b")))
    listed = (await fern.get("/portal-configurations"))["data"]
    assert sum(row["default"] for row in listed) == 1
    assert [row["version"] for row in listed] == [1, 1, 1]
    assert (await writes(fern)).count(CREATE) == 3


async def test_without_stripe_a_configuration_is_pending_until_it_is_repeated(
    shared_database: ScratchDatabase, fern: TenantApi
) -> None:
    async with running_api(shared_database, fern.api.sandbox, stripe=NOWHERE) as down:
        offline = TenantApi(down, fern.said)
        made = await offline.put("/portal-configurations/main", body())
        assert (made["state"], made["stripe_configuration"], made["version"]) == ("pending", None, 1)
    assert await fern.get("/portal-configurations/main") == made
    applied = await fern.put("/portal-configurations/main", body())
    assert (applied["state"], applied["version"]) == ("applied", 1)
    async with running_api(shared_database, fern.api.sandbox, stripe=NOWHERE) as down:
        offline = TenantApi(down, fern.said)
        changed = await offline.put("/portal-configurations/main", body(invoice_history={"enabled": True}))
        assert (changed["state"], changed["version"]) == ("pending", 2)
        assert changed["stripe_configuration"] == applied["stripe_configuration"]
    again = await fern.put("/portal-configurations/main", body(invoice_history={"enabled": True}))
    assert (again["state"], again["version"]) == ("applied", 2)
    assert (await at_stripe(fern, again))["features"]["invoice_history"]["enabled"]
    assert (await writes(fern)).count(CREATE) == 1


@pytest.mark.alone
async def test_a_lost_answer_of_stripe_makes_no_second_configuration(fern: TenantApi) -> None:
    await fern.api.sandbox.fail(next=3, status=503, after=True)
    assert (await fern.put("/portal-configurations/main", body()))["state"] == "pending"
    await fern.api.sandbox.fail()
    applied = await fern.put("/portal-configurations/main", body())
    listed = await fern.api.sandbox.call("GET", CREATE)
    assert applied["state"] == "applied"
    assert [found["id"] for found in listed["data"]] == [applied["stripe_configuration"]]


async def test_what_stripe_refuses_changes_nothing_and_may_be_mended(fern: TenantApi) -> None:
    first = await fern.configuration()
    price, stranger = await fern.api.sandbox.price(), await fern.api.sandbox.price()
    wanted = offering({"product": price["product"], "prices": [price["id"], stranger["id"]]})
    reply = await fern.call("PUT", "/portal-configurations/main", wanted)
    found = problem(reply, 400, "features.subscription_update.products[0].prices[1]")
    assert stranger["id"] in found["detail"]
    assert await fern.get("/portal-configurations/main") == first
    problem(await fern.call("PUT", "/portal-configurations/new", wanted), 400, found["param"])
    problem(await fern.call("GET", "/portal-configurations/new"), 404, "name")
    await fern.api.sandbox.call("POST", f"/v1/prices/{price['id']}", {"active": "false"})
    wanted = offering({"product": price["product"], "prices": [price["id"]]})
    problem(await fern.call("PUT", "/portal-configurations/main", wanted), 400, found["param"].replace("[1]", "[0]"))
    await fern.api.sandbox.call("POST", f"/v1/prices/{price['id']}", {"active": "true"})
    assert (await fern.put("/portal-configurations/main", wanted))["version"] == 2


async def test_an_edit_of_what_changed_since_is_refused(fern: TenantApi) -> None:
    problem(await fern.call("PUT", "/portal-configurations/main", body(), if_match="*"), 412, "If-Match")
    first = await fern.call("PUT", "/portal-configurations/main", body())
    tag = first.headers["etag"]
    assert (await fern.call("GET", "/portal-configurations/main")).headers["etag"] == tag
    changed = body(invoice_history={"enabled": True})
    assert (await fern.call("PUT", "/portal-configurations/main", changed, if_match=tag)).status_code == 200
    before = await writes(fern)
    problem(await fern.call("PUT", "/portal-configurations/main", body(), if_match=tag), 412, "If-Match")
    problem(await fern.call("POST", "/portal-configurations/main/apply", if_match=tag), 412, "If-Match")
    assert (await fern.get("/portal-configurations/main"))["version"] == 2
    assert await writes(fern) == before


@pytest.mark.alone
async def test_a_direct_tenants_configuration_lives_on_its_account(api: Api) -> None:
    direct = await api.tenant(charge_type="direct")
    made = await direct.put("/portal-configurations/main", body() | {"login_page": {"enabled": True}})
    found = await api.sandbox.call("GET", f"{CREATE}/{made['stripe_configuration']}", account=direct.account)
    assert found["login_page"]["enabled"]
    assert (await api.sandbox.call("GET", CREATE))["data"] == []


async def test_tenants_have_names_of_their_own(fern: TenantApi, kiln: TenantApi) -> None:
    mine = await fern.configuration("main")
    theirs = await kiln.configuration("main")
    assert mine["stripe_configuration"] != theirs["stripe_configuration"]
    await fern.configuration("only-ferns")
    problem(await kiln.call("GET", "/portal-configurations/only-ferns"), 404, "name")
    assert [row["name"] for row in (await kiln.get("/portal-configurations"))["data"]] == ["main"]


async def test_configurations_are_listed_by_name_page_by_page(fern: TenantApi) -> None:
    for name in ("b", "c", "a"):
        await fern.configuration(name)
    first = await fern.get("/portal-configurations?limit=2")
    rest = await fern.get(f"/portal-configurations?limit=2&after={first['next']}")
    assert [row["name"] for row in first["data"] + rest["data"]] == ["a", "b", "c"]
    assert rest["next"] is None


UPDATE = "features.subscription_update"
PRODUCT = {"product": "prod_1", "prices": ["price_1"]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"features": None}, "features"),
        ({"features": {"surprise": {}}}, "features.surprise"),
        ({"features": {"invoice_history": {}}}, "features.invoice_history.enabled"),
        ({"features": {"invoice_history": {"enabled": "yes"}}}, "features.invoice_history.enabled"),
        ({"features": {"customer_update": {"enabled": True}}}, "features.customer_update.allowed_updates"),
        (
            {"features": {"customer_update": {"enabled": True, "allowed_updates": ["shoes"]}}},
            "features.customer_update.allowed_updates[0]",
        ),
        (
            {"features": {"subscription_cancel": {"enabled": True, "proration_behavior": "always_invoice"}}},
            "features.subscription_cancel.proration_behavior",
        ),
        (
            {"features": {"subscription_cancel": {"enabled": True, "proration_behavior": "create_prorations"}}},
            "features.subscription_cancel.proration_behavior",
        ),
        (
            {"features": {"subscription_cancel": {"enabled": True, "cancellation_reason": {"enabled": True}}}},
            "features.subscription_cancel.cancellation_reason.options",
        ),
        (
            {"features": {"subscription_pause": {"enabled": True, "duration": {"type": "interval_options"}}}},
            "features.subscription_pause.duration.interval_options",
        ),
        ({"features": {"subscription_update": {"enabled": True}}}, f"{UPDATE}.default_allowed_updates"),
        (
            {"features": {"subscription_update": {"enabled": True, "default_allowed_updates": ["price"]}}},
            f"{UPDATE}.products",
        ),
        (offering(*[PRODUCT | {"product": f"prod_{n}"} for n in range(11)]), f"{UPDATE}.products"),
        (offering({"prices": ["price_1"]}), f"{UPDATE}.products[0].product"),
        (offering(PRODUCT | {"plan": "pro"}), f"{UPDATE}.products[0].product"),
        (offering({"product": "prod_1"}), f"{UPDATE}.products[0].prices"),
        (offering({"product": "prod_1", "prices": ["p", "p"]}), f"{UPDATE}.products[0].prices"),
        (offering(PRODUCT, PRODUCT), f"{UPDATE}.products[1]"),
        (
            offering(PRODUCT | {"adjustable_quantity": {"enabled": True, "minimum": 5, "maximum": 4}}),
            f"{UPDATE}.products[0].adjustable_quantity.maximum",
        ),
        ({"business_profile": {"headline": "x" * 61}}, "business_profile.headline"),
        ({"business_profile": {"headline": "a\x00b"}}, "business_profile.headline"),
        ({"business_profile": {"privacy_policy_url": "http://shop.example"}}, "business_profile.privacy_policy_url"),
        ({"business_profile": {"terms_of_service_url": "terms"}}, "business_profile.terms_of_service_url"),
        ({"default_return_url": "https://elsewhere.example/"}, "default_return_url"),
        ({"default_return_url": "https://shop.example.evil.example/"}, "default_return_url"),
        ({"login_page": {"enabled": True}}, "login_page.enabled"),
        ({"metadata": {"colonnade_tenant": "x"}}, "metadata.colonnade_tenant"),
        ({"metadata": {"k": "x" * 501}}, "metadata.k"),
        ({"metadata": {f"k{n}": "x" for n in range(48)}}, "metadata"),
        ({"stripe_configuration": "bpc_1"}, "stripe_configuration"),
        ({"configuration": "bpc_1"}, "configuration"),
        ({"default": "yes"}, "default"),
    ],
)
async def test_bad_input_is_named_and_writes_nothing(fern: TenantApi, change: dict[str, Any], param: str) -> None:
    problem(await fern.call("PUT", "/portal-configurations/main", body() | change), 400, param)
    assert (await fern.get("/portal-configurations"))["data"] == []
    assert await writes(fern) == []


@pytest.mark.parametrize("name", ["UPPER", "-x", "a b", "x" * 65, "%C3%A9"])
async def test_a_bad_name_is_refused(fern: TenantApi, name: str) -> None:
    problem(await fern.call("PUT", f"/portal-configurations/{name}", body()), 400, "name")
    assert await writes(fern) == []

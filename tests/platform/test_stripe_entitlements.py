"""Stripe Entitlements beside ours: mirrored, compared with reasons, taken over once, never believed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from colonnade.entitlements.explaining import FeatureExplanation
from colonnade.errors import Closed
from colonnade.stripe_entitlements.by_hand import take_over_now
from colonnade.stripe_entitlements.comparing import DETAILS, differences
from colonnade.stripe_entitlements.service import TakeOver
from colonnade.stripe_entitlements.taking_over import Product, plan_key
from colonnade_tenants.entitlements.explain import Idle
from colonnade_tenants.entitlements.reasons import Reason
from tests.conftest import ScratchDatabase
from tests.platform.api import Api, Sandbox, TenantApi, problem, running_api
from tests.platform.deliveries import web
from tests.platform.portals import services_of
from tests.platform.test_cli import colonnade, external
from tests.platform.test_sweep import deliver, handle, listed, settings
from tests.tenants.payloads import START, moment

pytestmark = [pytest.mark.alone, pytest.mark.slow]

Hear = Callable[[], Any]


@pytest.fixture
async def api(database: ScratchDatabase, sandbox: Sandbox) -> AsyncIterator[Api]:
    async with running_api(database, sandbox) as running:
        yield running


@pytest.fixture
async def hear(api: Api, sandbox: Sandbox, database: ScratchDatabase, tmp_path: Path) -> AsyncIterator[Hear]:
    """Deliver what Stripe has to say, and handle it."""
    async with web(database, settings(sandbox)) as client:

        async def hear() -> None:
            types = ("customer.", "entitlements.")
            await deliver(client, [each for each in await listed(sandbox) if each["type"].startswith(types)])
            await handle(database, sandbox, tmp_path)

        yield hear


async def product_with(sandbox: Sandbox, *lookup_keys: str, account: str | None = None) -> str:
    """A product at Stripe with these features; its id."""
    product: str = (await sandbox.call("POST", "/v1/products", {"name": "Pro Plan"}, account))["id"]
    for key in lookup_keys:
        known = (await sandbox.call("GET", f"/v1/entitlements/features?lookup_key={key}", account=account))["data"]
        form = {"lookup_key": key, "name": key.title()}
        feature = known[0] if known else await sandbox.call("POST", "/v1/entitlements/features", form, account)
        await sandbox.call("POST", f"/v1/products/{product}/features", {"entitlement_feature": feature["id"]}, account)
    return product


async def subscribe(tenant: TenantApi, product: str, reference: str = "ada") -> dict[str, Any]:
    await tenant.customer(reference)
    price = (await tenant.api.sandbox.price(tenant.holder, product))["id"]
    body = {"price": price, "payment_method": "pm_card_visa"}
    reply = await tenant.call("POST", f"/customers/{reference}/subscriptions", body)
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def take_over(tenant: TenantApi, **body: Any) -> dict[str, Any]:
    reply = await tenant.call("POST", "/stripe-features", body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def told(found: dict[str, Any]) -> dict[str, tuple[bool, bool, str]]:
    return {each["lookup_key"]: (each["stripe"], each["ours"], each["reason"]) for each in found["differences"]}


async def test_a_summary_is_mirrored_and_compared_with_reasons(api: Api, sandbox: Sandbox, hear: Hear) -> None:
    fern = await api.tenant(name="Fern")
    path = "/customers/ada/stripe-entitlements"
    product = await product_with(sandbox, "export", "backups", "reports")
    await subscribe(fern, product)
    for key in ("export", "backups", "gift"):
        await fern.put(f"/features/{key}", {"kind": "flag", "name": key})
    await fern.put("/features/everyone", {"kind": "flag", "name": "Everyone", "fallback": True})
    before = await fern.get(path)
    assert (before["basis"], before["differences"]) == (None, []), "nothing was heard, and nothing is claimed"
    await hear()
    grants = [{"feature": "export", "value": True}]
    await fern.put("/plans/pro", {"name": "Pro", "product": product, "grants": grants})
    body = {"feature": "gift", "effect": "grant", "value": True, "reason": "A gift", "author": "Grace"}
    assert (await fern.call("POST", "/customers/ada/overrides", body)).status_code == 201

    found = await fern.get(path)
    assert found["basis"] == "summary"
    assert found["stripe"] == ["backups", "export", "reports"]
    assert told(found) == {
        "backups": (True, False, "not_in_plan"),
        "reports": (True, False, "unknown_feature"),
        "gift": (False, True, "override"),
        "everyone": (False, True, "fallback"),
    }
    assert [each["rule"] for each in found["differences"][2]["because"]] == ["override"]
    now = await fern.get(f"{path}?read=true")
    assert (now["basis"], now["stripe"], told(now)) == ("read", found["stripe"], told(found))
    (row,) = (await fern.get("/stripe-entitlements"))["data"]
    assert row == found
    granted = (await fern.get("/customers/ada/entitlements"))["data"]
    assert "reports" not in {each["feature"] for each in granted}, "Stripe's word is no authority"


async def test_a_summary_that_goes_on_is_read_to_the_end(api: Api, sandbox: Sandbox, hear: Hear) -> None:
    fern = await api.tenant(name="Fern")
    keys = sorted(f"f{number:02}" for number in range(13))
    await subscribe(fern, await product_with(sandbox, *keys))
    summaries = [each for each in await listed(sandbox) if each["type"].startswith("entitlements.")]
    assert any(each["data"]["object"]["entitlements"]["has_more"] for each in summaries)
    await hear()
    assert (await fern.get("/customers/ada/stripe-entitlements"))["stripe"] == keys


@pytest.mark.parametrize("newest_first", [False, True])
async def test_the_newest_summary_stays_whatever_order_they_arrive_in(
    api: Api, sandbox: Sandbox, database: ScratchDatabase, tmp_path: Path, newest_first: bool
) -> None:
    fern = await api.tenant(name="Fern")
    subscription = await subscribe(fern, await product_with(sandbox, "export"))
    await asyncio.sleep(1.1)
    await sandbox.call("DELETE", f"/v1/subscriptions/{subscription['id']}")
    events = [each for each in await listed(sandbox) if each["type"].startswith("entitlements.")]
    assert len(events) == 2
    async with web(database, settings(sandbox)) as client:
        for event in reversed(events) if newest_first else events:
            await deliver(client, [event])
            await handle(database, sandbox, tmp_path)
    assert (await fern.get("/customers/ada/stripe-entitlements"))["stripe"] == []


async def test_summaries_of_one_second_are_settled_by_a_read(
    api: Api, sandbox: Sandbox, database: ScratchDatabase, tmp_path: Path
) -> None:
    fern = await api.tenant(name="Fern")
    subscription = await subscribe(fern, await product_with(sandbox, "export"))
    await sandbox.call("DELETE", f"/v1/subscriptions/{subscription['id']}")
    events = [each for each in await listed(sandbox) if each["type"].startswith("entitlements.")]
    async with web(database, settings(sandbox)) as client:
        await deliver(client, [each | {"created": events[0]["created"]} for each in reversed(events)])
        await handle(database, sandbox, tmp_path)
    assert (await fern.get("/customers/ada/stripe-entitlements"))["stripe"] == []


async def test_another_tenants_customer_is_not_compared(api: Api, sandbox: Sandbox, hear: Hear) -> None:
    fern, kiln = await api.tenant(name="Fern"), await api.tenant(name="Kiln")
    await subscribe(fern, await product_with(sandbox, "export"))
    await kiln.customer("bo")
    await hear()
    problem(await kiln.call("GET", "/customers/ada/stripe-entitlements"), 404, "reference")
    assert (await kiln.get("/stripe-entitlements")) == {"data": [], "next": None}
    assert (await kiln.get("/customers/bo/stripe-entitlements"))["basis"] is None
    (row,) = await api.sql("select t.public_id from stripe_entitlements s join tenants t on t.id = s.tenant_id")
    assert row["public_id"] == fern.id


async def test_features_are_taken_over_after_a_dry_run_and_taking_over_again_does_nothing(
    api: Api, sandbox: Sandbox, hear: Hear
) -> None:
    fern = await api.tenant(name="Fern")
    product = await product_with(sandbox, "fern_export", "fern_projects", "other_x", "fern_Bad Key")
    await subscribe(fern, product)
    await hear()
    await fern.put("/features/projects", {"kind": "limit", "name": "Projects"})
    dry = await take_over(fern, prefix="fern_")
    assert dry["dry_run"] is True
    assert {step["of"]: (step["key"], step["action"]) for step in dry["features"]} == {
        "fern_export": ("export", "create"),
        "fern_projects": ("projects", "skip"),
        "fern_Bad Key": (None, "skip"),
        "other_x": (None, "skip"),
    }
    assert [(step["key"], step["action"], step["grants"]) for step in dry["plans"]] == [
        ("pro-plan", "create", ["export"])
    ]
    assert (await fern.get("/plans"))["data"] == []
    done = await take_over(fern, prefix="fern_", dry_run=False)
    assert (done["features"], done["plans"]) == (dry["features"], dry["plans"])
    (plan,) = (await fern.get("/plans"))["data"]
    assert (plan["key"], plan["product"], plan["grants"]) == (
        "pro-plan",
        product,
        [{"feature": "export", "value": True, "per_unit": False}],
    )
    again = await take_over(fern, prefix="fern_", dry_run=False)
    assert {step["action"] for step in (*again["features"], *again["plans"])} == {"same", "skip"}
    assert (await fern.get("/plans/pro-plan"))["version"] == plan["version"]


async def test_at_the_command_line_taking_over_is_logged_once_it_is_done_and_refused_of_an_archived_tenant(
    api: Api, sandbox: Sandbox
) -> None:
    fern = await api.tenant(name="Fern", charge_type="direct")
    await product_with(sandbox, "export", account=fern.account)
    query = "select by_id from audit_log where target = $1 and action = 'features.taken_over'"
    target = f"tenants/{fern.id}/stripe-features"
    async with services_of(fern) as services:
        await take_over_now(services, fern.id, TakeOver(dry_run=True))
        assert await api.sql(query, target) == []
        await take_over_now(services, fern.id, TakeOver(dry_run=False))
        assert [row["by_id"] for row in await api.sql(query, target)] == ["command line"]
        await fern.call("POST", "/archive", {"reason": "over"}, key=api.key)
        with pytest.raises(Closed, match="archived"):
            await take_over_now(services, fern.id, TakeOver(dry_run=False))


async def test_a_plan_that_is_here_is_added_to_and_keeps_what_it_has(api: Api, sandbox: Sandbox) -> None:
    fern = await api.tenant(name="Fern", charge_type="direct")
    product = await product_with(sandbox, "export", "reports", account=fern.account)
    await fern.put("/features/seats", {"kind": "quantity", "name": "Seats"})
    await fern.put("/features/export", {"kind": "flag", "name": "Our export"})
    mine = {"feature": "seats", "value": 5, "per_unit": True}
    await fern.put("/plans/mine", {"name": "Mine", "product": product, "grants": [mine]})
    await take_over(fern, dry_run=False)
    plan = await fern.get("/plans/mine")
    assert {grant["feature"] for grant in plan["grants"]} == {"seats", "export", "reports"}
    assert mine in plan["grants"]
    assert (await fern.get("/features/export"))["name"] == "Our export"


async def test_on_the_platforms_account_a_tenant_reads_no_product_that_it_does_not_sell(
    api: Api, sandbox: Sandbox, hear: Hear
) -> None:
    fern, kiln = await api.tenant(name="Fern"), await api.tenant(name="Kiln")
    product = await product_with(sandbox, "secret")
    await subscribe(fern, product)
    await hear()
    grants: list[Any] = []
    await kiln.put("/plans/spy", {"name": "Spy", "product": product, "grants": grants})
    assert await take_over(kiln) == {"dry_run": True, "features": [], "plans": []}
    problem(await kiln.call("POST", "/stripe-features", {"products": [product]}), 403, "products")
    allowed = await kiln.call("POST", "/stripe-features", {"products": [product]}, key=api.key)
    assert [step["of"] for step in allowed.json()["features"]] == ["secret"]
    unknown = await kiln.call("POST", "/stripe-features", {"products": ["prod_none"]}, key=api.key)
    problem(unknown, 400, "products[0]")
    problem(await kiln.call("POST", "/stripe-features", {"products": ["../x"]}), 400, "products[0]")


@pytest.mark.slow
async def test_the_command_line_tells_the_same(api: Api, sandbox: Sandbox, hear: Hear) -> None:
    fern = await api.tenant(name="Fern")
    await subscribe(fern, await product_with(sandbox, "export"))
    await hear()
    chosen = external(api.database.service_url) | {"STRIPE_API_KEY": sandbox.key, "STRIPE_API_BASE": sandbox.url}

    async def run(*arguments: str) -> tuple[int, str]:
        ended = await asyncio.to_thread(colonnade, "tenants", *arguments, **chosen)
        return ended.returncode, ended.stdout

    code, said = await run("compare", fern.id)
    assert code == 1
    assert said.splitlines() == ["ada", f"  export: only Stripe: {DETAILS['unknown_feature']}"]
    code, said = await run("take-over-features", fern.id, "--apply")
    assert (code, said.splitlines()[0]) == (0, "create feature export (export)")
    assert await run("compare", fern.id, "--read") == (0, "")
    assert await run("compare", fern.id, "--json") == (0, '{"customers":1,"differing":[]}\n')
    assert (await run("compare", "ten_0"))[0] == 1


def explanation(granted: bool, **fields: Any) -> FeatureExplanation:
    base: dict[str, Any] = dict.fromkeys(FeatureExplanation.__struct_fields__)
    lists: dict[str, list[Any]] = {"because": [], "overruled": [], "idle": []}
    return FeatureExplanation(**base | lists | {"feature": "export", "granted": granted, "fallback": False} | fields)


def reason(rule: str) -> Reason:
    return Reason(source="si_1", rule=rule, value=1, valid_from=moment(START))


def idle(why: Any) -> Idle:
    return Idle("sub_1", "past_due", "si_1", "price_1", "prod_1", why)


@pytest.mark.parametrize(
    ("stripe", "ours", "expected"),
    [
        (["t_export"], explanation(True), None),
        ([], explanation(False), None),
        (["t_export"], explanation(False), "not_in_plan"),
        (["t_export"], explanation(False, because=[reason("override")], idle=[idle("status")]), "override"),
        *(
            (["t_export"], explanation(False, idle=[idle("no_plan"), idle(why)]), why)
            for why in (
                "status",
                "not_begun",
                "ended",
                "grace_ended",
                "trial",
                "collection_paused",
                "no_plan",
            )
        ),
        ([], explanation(True, fallback=True), "fallback"),
        ([], explanation(True, because=[reason("grace")]), "grace"),
        ([], explanation(True, because=[reason("override")]), "override"),
        ([], explanation(True, because=[reason("active"), reason("override")]), "plan"),
        (["other"], explanation(False), "other_prefix"),
        (["t_new"], explanation(False), "unknown_feature"),
    ],
)
def test_every_difference_has_its_reason(stripe: list[str], ours: FeatureExplanation, expected: str | None) -> None:
    found = differences(stripe, {"export": ours}, "t_")
    assert [each.reason for each in found] == ([expected] if expected else [])
    assert all(each.detail == DETAILS[each.reason] for each in found)


def test_a_plans_key_is_made_of_the_products_name_unless_that_is_taken() -> None:
    product = Product("prod_X1", "Pro  Plan (EU)", {})
    assert plan_key(product, set()) == "pro-plan-eu"
    assert plan_key(product, {"pro-plan-eu"}) == "prod-x1"
    assert plan_key(product, {"pro-plan-eu", "prod-x1"}) == "prod-x1-2"
    assert plan_key(Product("prod_X1", "—", {}), set()) == "prod-x1"

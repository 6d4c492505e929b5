"""Businesses get into their accounts: every shape of account is made, and each way in leads to its own account."""

from typing import Any

import aiohttp
import pytest

from tests.conftest import ScratchDatabase
from tests.platform.api import BASE_URL, NOWHERE, ORIGIN, Api, Sandbox, TenantApi, problem, running_api
from tests.sandbox.browser import Browser

EXPRESS = {
    "fees": {"payer": "application"},
    "losses": {"payments": "application"},
    "stripe_dashboard": {"type": "express"},
}
FULL = {"fees": {"payer": "account"}, "losses": {"payments": "stripe"}, "stripe_dashboard": {"type": "full"}}
CUSTOM = {**EXPRESS, "stripe_dashboard": {"type": "none"}, "requirement_collection": "application"}
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "suited to destination charges": ({}, EXPRESS),
    "suited to direct charges": ({"charge_type": "direct"}, FULL),
    "a controller": ({"controller": CUSTOM}, CUSTOM),
    "a controller in part": ({"controller": {"stripe_dashboard": {"type": "full"}}}, FULL),
    "standard": ({"type": "standard"}, FULL),
    "custom": ({"type": "custom"}, {"requirement_collection": "application"}),
    "the V2 API": ({"account_api": "v2"}, EXPRESS),
    "the V2 API, direct": ({"account_api": "v2", "charge_type": "direct"}, FULL),
}


async def test_an_account_is_made_in_any_shape(api: Api) -> None:
    for shape in SHAPES.values():
        await check_shape(api, *shape)


async def check_shape(api: Api, asked: dict[str, Any], controller: dict[str, Any]) -> None:
    tenant = await api.tenant(**asked)
    account = await api.sandbox.call("GET", f"/v1/accounts/{tenant.account}")
    assert controller.items() <= account["controller"].items()
    assert account["metadata"] == {"colonnade_tenant": tenant.id}
    v2 = asked.get("account_api") == "v2"
    wanted = {"card_payments", "transfers", "sepa_debit_payments"}
    assert account["capabilities"].keys() == wanted, "Germany pays subscriptions by SEPA"
    assert (await tenant.get(""))["account_api"] == ("v2" if v2 else "v1")
    assert (await tenant.get("/readiness"))["needs"].keys() == (
        {"card_payments"} if asked.get("charge_type") == "direct" else {"card_payments", "transfers"}
    )


async def test_what_is_requested_follows_the_country(api: Api) -> None:
    for country, version, debit in (
        ("FR", "v1", {"sepa_debit_payments"}),
        ("GB", "v2", {"bacs_debit_payments"}),
        ("US", "v2", {"us_bank_account_ach_payments"}),
        ("SG", "v1", set()),
    ):
        tenant = await api.tenant(country=country, account_api=version)
        account = await api.sandbox.call("GET", f"/v1/accounts/{tenant.account}")
        assert set(account["capabilities"]) == {"card_payments", "transfers"} | debit, country


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_capabilities_may_be_named(api: Api, version: str) -> None:
    tenant = await api.tenant(capabilities=["transfers"], business_type="individual", account_api=version)
    account = await api.sandbox.call("GET", f"/v1/accounts/{tenant.account}")
    assert (set(account["capabilities"]), account["business_type"]) == ({"transfers"}, "individual")


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"type": "standard", "controller": FULL}, "controller"),
    ({"type": "classic"}, "type"),
    ({"controller": {**FULL, "losses": {"payments": "application"}}}, "controller.fees.payer"),
    ({"controller": {**EXPRESS, "requirement_collection": "application"}}, "controller.stripe_dashboard.type"),
    ({"controller": {"fees": {"payer": "nobody"}}}, "controller.fees.payer"),
    ({"controller": {"surprise": 1}}, "controller.surprise"),
    ({"account": "acct_1", "type": "standard"}, "type"),
    ({"account": "acct_1", "connect": "oauth"}, "connect"),
    ({"connect": "oauth", "controller": FULL}, "controller"),
    ({"connect": "oauth", "account_api": "v2"}, "account_api"),
    ({"connect": "sms"}, "connect"),
    ({"capabilities": ["Card payments"]}, "capabilities[0]"),
    ({"account_api": "v3"}, "account_api"),
    ({"account_api": "v2", "type": "express"}, "type"),
    ({"account_api": "v2", "controller": CUSTOM}, "controller.requirement_collection"),
    (
        {"account_api": "v2", "controller": {**FULL, "stripe_dashboard": {"type": "express"}}},
        "controller.stripe_dashboard.type",
    ),
]


async def test_what_contradicts_itself_is_named_and_nothing_is_made(api: Api) -> None:
    before = await api.sql("select count(*) from tenants")
    for asked, param in CONTRADICTIONS:
        problem(await api.call("POST", "/v1/tenants", {"name": "Fern"} | asked), 400, param)
    assert await api.sql("select count(*) from tenants") == before
    assert await api.sandbox.requests() == []


@pytest.mark.alone
async def test_repeating_a_v2_creation_makes_one_account(api: Api) -> None:
    body = {"name": "Fern", "account_api": "v2", "country": "DE"}
    await api.sandbox.fail(next=3, status=500, after=True)
    problem(await api.call("POST", "/v1/tenants", body, idempotency_key="v2"), 503)
    await api.sandbox.fail()
    first, again = [await api.call("POST", "/v1/tenants", body, idempotency_key="v2") for _ in range(2)]
    assert first.json() == again.json()
    assert [each["id"] for each in (await api.sandbox.call("GET", "/v1/accounts"))["data"]] == [first.json()["account"]]


async def link(tenant: TenantApi, **asked: Any) -> str:
    reply = await tenant.call("POST", "/onboarding-links", {"return_url": f"{ORIGIN}/done"} | asked)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["url"]).removeprefix(BASE_URL)


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_link_asks_for_what_is_wanted_and_comes_back_past_us(api: Api, version: str) -> None:
    tenant = await api.tenant(account_api=version)
    await enable(tenant)
    await enable(tenant, "future", fields=["company.verification.document"])
    async with aiohttp.ClientSession() as http:
        stripe = Browser(http)
        for future in (False, True):
            path = await link(tenant, future_requirements=future)
            opened = await api.call("GET", path, key="")
            assert opened.status_code == 303
            page = await stripe.get(opened.headers["location"])
            assert ("A photo of an identity document" in page.text) is future
        done = await stripe.submit(page, page.forms[0].button, follow=False)
    assert done.headers["location"] == f"{BASE_URL}{path}/return"
    back = await api.call("GET", f"{path}/return", key="")
    assert (back.status_code, back.headers["location"]) == (303, f"{ORIGIN}/done")


async def test_coming_back_reads_the_account_at_once(api: Api, fern: TenantApi) -> None:
    path = await link(fern)
    state = "select r.state from tenant_readiness r join tenants t on t.id = r.tenant_id where public_id = $1"
    assert [row["state"] for row in await api.sql(state, fern.id)] == ["onboarding"]
    await enable(fern)
    await api.call("GET", path + "/return", key="")
    assert [row["state"] for row in await api.sql(state, fern.id)] == ["ready"]


async def enable(tenant: TenantApi, state: str = "enabled", **more: Any) -> None:
    """Put the tenant's account into a state, as Stripe would."""
    async with tenant.api.sandbox._client() as client:
        body = {"account": tenant.account, "state": state, **more}
        reply = await client.post("/_sandbox/account_states", json=body)
    assert reply.status_code == 200, reply.text


async def test_an_origin_that_was_taken_back_leads_to_our_own_page(api: Api, fern: TenantApi) -> None:
    path = await link(fern)
    await fern.call("PATCH", "", {"return_origins": ["https://other.example"]})
    back = await api.call("GET", path + "/return", key="")
    assert back.status_code == 200
    assert "You may close this page" in back.text
    assert ORIGIN not in back.text
    plain = await link(fern, return_url=None)
    assert (await api.call("GET", plain + "/return", key="")).status_code == 200


async def test_a_return_to_any_other_origin_is_refused(fern: TenantApi, kiln: TenantApi) -> None:
    await kiln.call("PATCH", "", {"return_origins": ["https://kiln.example"]})
    for url in (
        "https://kiln.example/done",
        f"{ORIGIN}.evil.example/",
        "https://evil.example/?" + ORIGIN,
        f"{ORIGIN}:8443/done",
        "http://shop.example/done",
        f"https://user@{ORIGIN.removeprefix('https://')}/",
        "https://shop.example\\@evil.example/",
        "//shop.example/",
        "javascript:alert(1)",
        "",
    ):
        problem(await fern.call("POST", "/onboarding-links", {"return_url": url}), 400, "return_url")


async def test_a_link_dies_with_the_account_that_it_is_for(api: Api, fern: TenantApi) -> None:
    path = await link(fern)
    await api.sql("update tenants set stripe_account = 'acct_another' where public_id = $1", fern.id)
    reply = await api.call("GET", path, key="")
    assert reply.status_code == 401
    assert "was replaced" in reply.text
    assert "acct_" not in reply.text


async def test_an_update_is_for_accounts_whose_requirements_the_platform_collects(api: Api, fern: TenantApi) -> None:
    custom = await api.tenant(controller=CUSTOM)
    assert (await api.call("GET", await link(custom, update=True), key="")).status_code == 303
    for tenant in (fern, await api.tenant(charge_type="direct")):
        problem(await tenant.call("POST", "/onboarding-links", {"update": True}), 409, "update")


async def test_an_account_session_is_for_the_tenants_own_account_and_kept_nowhere(
    api: Api, fern: TenantApi, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = ["notification_banner", "account_onboarding", "account_onboarding"]
    reply = await fern.call("POST", "/account-sessions", {"components": wanted})
    assert reply.status_code == 201
    assert reply.headers["cache-control"] == "no-store"
    said = reply.json()
    assert said["client_secret"].startswith("accs_secret_")
    assert said["components"] == ["account_onboarding", "notification_banner"]
    assert said["client_secret"] not in capfd.readouterr().out
    second = (await fern.call("POST", "/account-sessions", {"components": wanted})).json()
    assert second["client_secret"] != said["client_secret"]
    await api.sandbox.call("DELETE", f"/v1/accounts/{fern.account}")
    problem(await fern.call("POST", "/account-sessions", {"components": wanted}), 422)


async def test_bad_components_are_named(fern: TenantApi) -> None:
    for components, param in (
        ({}, "components"),
        ({"components": []}, "components"),
        ({"components": ["issuing_card"]}, "components[0]"),
        ({"components": ["payments"], "account": "acct_1"}, "account"),
    ):
        problem(await fern.call("POST", "/account-sessions", components), 400, param)


async def test_a_login_link_is_for_the_express_dashboard(api: Api, fern: TenantApi) -> None:
    assert "onboarding first" in problem(await fern.call("POST", "/login-links"), 409)["detail"]
    await enable(fern)
    reply = await fern.call("POST", "/login-links")
    assert (reply.status_code, reply.headers["cache-control"]) == (201, "no-store")
    assert fern.account in reply.json()["url"]
    for asked, words in (({"charge_type": "direct"}, "dashboard.stripe.com"), ({"type": "custom"}, "account session")):
        other = await api.tenant(**asked)
        assert words in problem(await other.call("POST", "/login-links"), 409)["detail"]


async def test_another_tenants_key_opens_nothing(fern: TenantApi, kiln: TenantApi) -> None:
    for path, body in (
        ("/onboarding-links", {}),
        ("/account-sessions", {"components": ["payments"]}),
        ("/login-links", None),
        ("/account-connections", {}),
    ):
        problem(await fern.call("POST", path, body, key=kiln.key), 404, "tenant")
    for path in ("/readiness", "/readiness/history"):
        problem(await fern.call("GET", path, key=kiln.key), 404, "tenant")
    for path in ("/v1/tenants?readiness=ready", "/v1/readiness-changes"):
        problem(await fern.api.call("GET", path, key=kiln.key), 403)


async def test_without_stripe_people_are_told_to_try_again(
    shared_database: ScratchDatabase, sandbox: Sandbox, fern: TenantApi
) -> None:
    path = await link(fern)
    async with running_api(shared_database, sandbox, stripe=NOWHERE) as down:
        reply = await down.call("GET", path, key="")
        assert (reply.status_code, reply.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert int(reply.headers["retry-after"]) > 0
        assert "in a moment" in reply.text
        assert (await down.call("GET", path + "/return", key="")).headers["location"] == f"{ORIGIN}/done"
        problem(await down.call("POST", f"/v1/tenants/{fern.id}/login-links", key=fern.key), 503)

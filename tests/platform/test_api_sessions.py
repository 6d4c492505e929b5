"""Portal sessions: the server chooses customer, configuration and account, and only lets out to where it may."""

import re
import time
from typing import Any

import pytest

from colonnade.access.portal_tokens import LIFETIME, PortalToken, issue
from tests.conftest import ScratchDatabase
from tests.platform.api import NOWHERE, ORIGIN, RETURN_URL, SECRET_KEY, Api, TenantApi, problem, running_api

SESSIONS = "/customers/ada/portal-sessions"
TOKENS = "/customers/ada/portal-tokens"
FROM = {"Origin": ORIGIN}
AT_STRIPE = "/v1/billing_portal/sessions"


@pytest.fixture
async def shop(fern: TenantApi) -> TenantApi:
    """A tenant with one customer and a portal in which one may cancel."""
    await fern.configuration()
    await fern.customer("ada")
    return fern


async def opened(tenant: TenantApi) -> list[str]:
    """What was asked of Stripe, for each session so far."""
    return [row["body"] for row in await tenant.api.sandbox.requests(path=AT_STRIPE)]


async def test_a_session_is_the_customers_in_the_tenants_name(shop: TenantApi) -> None:
    back = f"{ORIGIN}/back?x=1#y"
    reply = await shop.call("POST", SESSIONS, {"locale": "de", "return_url": back, "return_directly": True})
    assert reply.status_code == 201
    session = reply.json()
    assert session["configuration"] == "main"
    assert session["url"].startswith(shop.api.sandbox.url)
    assert reply.headers["cache-control"] == "no-store"
    asked = await shop.api.sandbox.call("GET", "/v1/events?type=billing_portal.session.created")
    made = asked["data"][0]["data"]["object"]
    assert made["on_behalf_of"] == shop.account
    assert made["customer"] == (await shop.get("/customers/ada"))["stripe_customer"]
    assert made["configuration"] == (await shop.get("/portal-configurations/main"))["stripe_configuration"]
    assert made["locale"] == "de"
    assert made["return_url"] == back


async def test_the_default_return_url_is_the_configurations(shop: TenantApi) -> None:
    assert (await shop.call("POST", SESSIONS, {"return_directly": True})).status_code == 201
    assert "return_url=https%3A%2F%2Fshop.example%2Faccount" in (await opened(shop))[0]
    await shop.put("/portal-configurations/bare", {"features": {"invoice_history": {"enabled": True}}})
    problem(await shop.call("POST", SESSIONS, {"configuration": "bare"}), 400, "return_url")
    chosen = await shop.call("POST", SESSIONS, {"configuration": "bare", "return_url": RETURN_URL})
    assert chosen.json()["configuration"] == "bare"


async def test_a_default_return_url_whose_origin_was_taken_back_is_refused(shop: TenantApi) -> None:
    await shop.call("PATCH", "", {"return_origins": ["https://other.example"]})
    problem(await shop.call("POST", SESSIONS, {}), 400, "return_url")


async def test_a_direct_tenants_session_is_on_its_account(api: Api) -> None:
    direct = await api.tenant(charge_type="direct")
    await direct.configuration()
    await direct.customer("ada")
    reply = await direct.call("POST", SESSIONS, {})
    assert reply.status_code == 201
    (asked,) = await api.sandbox.requests(path=AT_STRIPE)
    assert asked["account"] == direct.account
    assert "on_behalf_of" not in asked["body"]


async def test_a_flow_goes_straight_to_its_step(shop: TenantApi) -> None:
    subscription = (await shop.subscription())["id"]
    after = {"type": "redirect", "return_url": f"{ORIGIN}/cancelled"}
    flow = {"type": "subscription_cancel", "subscription": subscription, "after_completion": after}
    assert (await shop.call("POST", SESSIONS, {"flow": flow, "return_directly": True})).status_code == 201
    events = await shop.api.sandbox.call("GET", "/v1/events?type=billing_portal.session.created")
    made = events["data"][0]["data"]["object"]["flow"]
    assert made["type"] == "subscription_cancel"
    assert made["subscription_cancel"]["subscription"] == subscription
    assert made["after_completion"]["redirect"]["return_url"] == f"{ORIGIN}/cancelled"


async def test_a_flow_about_somebody_elses_subscription_is_not_there(shop: TenantApi, kiln: TenantApi) -> None:
    await kiln.customer("ada")
    foreign = (await kiln.subscription())["id"]
    await shop.customer("bob")
    bobs = (await shop.subscription("bob"))["id"]
    for subscription, status in ((foreign, 404), ("sub_unknown", 404), (bobs, 404)):
        flow = {"type": "subscription_cancel", "subscription": subscription}
        problem(await shop.call("POST", SESSIONS, {"flow": flow}), status, "flow.subscription")
    rows = await shop.api.sql("select id from customers where stripe_customer is not null and reference = 'bob'")
    await shop.api.sql(
        "insert into subscriptions (tenant_id, id, customer_id, status, started_at, source_created, source_event)"
        " select tenant_id, $1, id, 'active', now(), now(), 'evt_1' from customers where id = $2",
        bobs,
        rows[-1]["id"],
    )
    flow = {"type": "subscription_cancel", "subscription": bobs}
    problem(await shop.call("POST", SESSIONS, {"flow": flow}), 404, "flow.subscription")


async def test_a_flow_that_the_configuration_switches_off_is_a_dead_end(shop: TenantApi) -> None:
    reply = await shop.call("POST", SESSIONS, {"flow": {"type": "payment_method_update"}})
    assert problem(reply, 409, "flow")["code"] == "feature_off"
    assert await opened(shop) == []
    plain = await shop.call("POST", SESSIONS, {"flow": {"type": "payment_method_update"}, "fallback": True})
    assert plain.status_code == 201
    assert plain.json()["left_out"]["code"] == "feature_off"
    assert "flow_data" not in (await opened(shop))[0]


async def test_what_only_stripe_refuses_is_a_dead_end_too(shop: TenantApi) -> None:
    subscription = (await shop.subscription())["id"]
    flow = {"type": "subscription_cancel", "subscription": subscription, "coupon": "nope"}
    assert problem(await shop.call("POST", SESSIONS, {"flow": flow}), 409, "flow")["code"] == "refused"
    plain = await shop.call("POST", SESSIONS, {"flow": flow, "fallback": True})
    assert plain.json()["left_out"]["code"] == "refused"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"customer": "cus_1"}, 400, "customer"),
        ({"on_behalf_of": "acct_1"}, 400, "on_behalf_of"),
        ({"stripe_configuration": "bpc_1"}, 400, "stripe_configuration"),
        ({"configuration": "bpc_1"}, 404, "configuration"),
        ({"configuration": "other"}, 404, "configuration"),
        ({"configuration": 1}, 400, "configuration"),
        ({"locale": "xx"}, 400, "locale"),
        ({"return_url": "https://evil.example/"}, 400, "return_url"),
        ({"return_url": "/account"}, 400, "return_url"),
        ({"return_url": ""}, 400, "return_url"),
        ({"flow": {"type": "nothing"}}, 400, "flow.type"),
        ({"flow": {}}, 400, "flow.type"),
        ({"flow": {"type": "subscription_cancel"}}, 400, "flow.subscription"),
        ({"flow": {"type": "subscription_cancel", "subscription": "cus_1"}}, 400, "flow.subscription"),
        ({"flow": {"type": "customer_update", "customer": "cus_1"}}, 400, "flow.customer"),
        (
            {
                "flow": {
                    "type": "customer_update",
                    "after_completion": {"type": "redirect", "return_url": "https://e.example"},
                }
            },
            400,
            "flow.after_completion.return_url",
        ),
        (
            {"flow": {"type": "customer_update", "after_completion": {"type": "redirect"}}},
            400,
            "flow.after_completion.return_url",
        ),
        ({"flow": {"type": "subscription_update_confirm", "subscription": "sub_1", "items": []}}, 400, "flow.items"),
    ],
)
async def test_bad_input_is_named_for_sessions_and_tokens_alike(
    shop: TenantApi, body: dict[str, Any], status: int, param: str
) -> None:
    problem(await shop.call("POST", SESSIONS, body), status, param)
    problem(await shop.call("POST", TOKENS, body), status, param)
    assert await opened(shop) == []


async def test_what_is_missing_is_said(fern: TenantApi) -> None:
    problem(await fern.call("POST", SESSIONS, {}), 404, "reference")
    await fern.customer("ada")
    problem(await fern.call("POST", SESSIONS, {}), 404, "configuration")
    problem(await fern.call("POST", TOKENS, {}), 404, "configuration")


async def test_a_name_of_another_tenant_means_nothing(shop: TenantApi, kiln: TenantApi) -> None:
    await kiln.configuration("theirs")
    problem(await shop.call("POST", SESSIONS, {"configuration": "theirs"}), 404, "configuration")
    problem(await kiln.call("POST", SESSIONS, {}), 404, "reference")


async def test_a_double_click_with_one_key_is_one_session(shop: TenantApi) -> None:
    first = await shop.call("POST", SESSIONS, {}, idempotency_key="click")
    again = await shop.call("POST", SESSIONS, {}, idempotency_key="click")
    assert first.json() == again.json()
    assert (await shop.call("POST", SESSIONS, {}, idempotency_key="other")).json()["url"] != first.json()["url"]
    assert (await shop.call("POST", SESSIONS, {})).json()["url"] != first.json()["url"]
    problem(await shop.call("POST", SESSIONS, {"locale": "fr"}, idempotency_key="click"), 409, "Idempotency-Key")


async def test_the_url_is_neither_stored_nor_logged(shop: TenantApi, caplog: pytest.LogCaptureFixture) -> None:
    url: str = (await shop.call("POST", SESSIONS, {})).json()["url"]
    secret = url.rpartition("/")[2]
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert not [line for line in ours if secret in line]
    tables = await shop.api.sql(
        "select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
    )
    for table in tables:
        found = await shop.api.sql(f"select 1 from {table['relname']} t where t::text like $1", f"%{secret}%")
        assert not found, table["relname"]


async def test_without_stripe_a_session_is_unavailable(shared_database: ScratchDatabase, shop: TenantApi) -> None:
    token = (await shop.call("POST", TOKENS, {})).json()["token"]
    async with running_api(shared_database, shop.api.sandbox, stripe=NOWHERE) as down:
        reply = await TenantApi(down, shop.said).call("POST", SESSIONS, {})
        problem(reply, 503)
        assert int(reply.headers["retry-after"]) > 0
        page = await down.client.post("/portal", data={"token": token}, headers=FROM)
        assert page.status_code == 503
        assert int(page.headers["retry-after"]) > 0
        assert_page_for_people(page, "not available right now")


def assert_page_for_people(page: Any, words: str) -> None:
    assert page.headers["content-type"].startswith("text/html")
    assert words in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_a_token_takes_the_browser_to_stripe(shop: TenantApi) -> None:
    subscription = (await shop.subscription())["id"]
    wanted = {"flow": {"type": "subscription_cancel", "subscription": subscription}, "locale": "fr"}
    reply = await shop.call("POST", TOKENS, wanted)
    assert reply.status_code == 201
    assert reply.headers["cache-control"] == "no-store"
    assert await opened(shop) == []
    answer = await shop.api.client.post("/portal", data={"token": reply.json()["token"]}, headers=FROM)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{shop.api.sandbox.url}/p/session/")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    (asked,) = await opened(shop)
    assert "locale=fr" in asked
    assert subscription in asked


async def test_a_bad_token_is_a_page_for_people(shop: TenantApi) -> None:
    token = PortalToken(shop.id, "ada")
    expired, _ = issue(token, SECRET_KEY, time.time() - LIFETIME - 1)
    forged, _ = issue(token, "another" + SECRET_KEY)
    for text in (expired, forged, "nonsense", ""):
        page = await shop.api.client.post("/portal", data={"token": text}, headers=FROM)
        assert page.status_code == 401
        assert_page_for_people(page, "This link has expired")
    assert await opened(shop) == []


async def test_a_form_without_a_token_is_a_page_for_people(shop: TenantApi) -> None:
    for form in ({}, {"other": "x"}):
        page = await shop.api.client.post("/portal", data=form)
        assert page.status_code == 400
        assert_page_for_people(page, "This link does not work")


async def test_a_token_for_what_is_gone_is_a_page_for_people(shop: TenantApi) -> None:
    for token in (
        PortalToken("ten_0", "ada"),
        PortalToken(shop.id, "nobody"),
        PortalToken(shop.id, "ada", {"configuration": "x"}),
    ):
        page = await shop.api.client.post("/portal", data={"token": issue(token, SECRET_KEY)[0]}, headers=FROM)
        assert page.status_code == 404
        assert_page_for_people(page, "This link does not work")


async def test_a_token_holds_only_what_was_allowed_when_it_is_used(shop: TenantApi) -> None:
    token = (await shop.call("POST", TOKENS, {"return_url": RETURN_URL})).json()["token"]
    await shop.call("PATCH", "", {"return_origins": ["https://new.example"]})
    page = await shop.api.client.post("/portal", data={"token": token}, headers={"Origin": "https://new.example"})
    assert page.status_code == 400
    assert_page_for_people(page, "This link does not work")


async def test_the_browser_route_is_for_forms_alone(shop: TenantApi) -> None:
    token = (await shop.call("POST", TOKENS, {})).json()["token"]
    refused = await shop.api.client.get("/portal", params={"token": token})
    assert refused.status_code == 405
    assert "POST" in refused.headers["allow"]
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
    assert await opened(shop) == []

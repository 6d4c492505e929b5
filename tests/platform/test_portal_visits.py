"""Portal tokens, links and visits against those who would misuse them, and the rules that choose a configuration."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.access.portal_tokens import LIFETIME, PortalToken, issue
from colonnade.accounts.service import tenant_by_id
from colonnade.database.connections import connect, create_pool
from colonnade.database.roles import Duty
from colonnade.errors import Closed, NotFound, Unavailable
from colonnade.portals import links, return_routes, rooms, sessions, visiting
from colonnade.portals.links import Place
from colonnade.portals.requests import SessionRequest
from colonnade.portals.results import with_result
from colonnade.portals.retention import prune
from colonnade.portals.visiting import Opener
from colonnade.webhooks.dispatch import Dispatcher
from colonnade.webhooks.extensions import Extensions
from colonnade_tenants.handlers import HANDLERS
from colonnade_tenants.portal.changes import changes
from colonnade_tenants.portal.state import State, decode
from tests.conftest import ScratchDatabase
from tests.platform.api import ORIGIN, RETURN_URL, SECRET_KEY, Api, Sandbox, TenantApi, problem, running_api
from tests.platform.portals import edit, services_of, worker_looks

SESSIONS = "/customers/ada/portal-sessions"
TOKENS = "/customers/ada/portal-tokens"
PREVIEW = f"{SESSIONS}/preview"
OTHER = "https://second.shop.example"
BOTH_WAYS = (Opener("key_1"), Opener("key_1", once="k"))
"""A visit that is kept while Stripe makes its session, and one that is kept before Stripe is asked."""


@pytest.fixture
async def shop(fern: TenantApi) -> TenantApi:
    await fern.call("PATCH", "", {"return_origins": [ORIGIN, OTHER]})
    await fern.configuration()
    await fern.customer("ada")
    return fern


async def token_of(tenant: TenantApi, **wanted: Any) -> str:
    reply = await tenant.call("POST", TOKENS, wanted)
    assert reply.status_code == 201, reply.text
    found: str = reply.json()["token"]
    return found


async def use(tenant: TenantApi, token: str, origin: str | None = ORIGIN, **headers: str) -> Any:
    sent = {"User-Agent": "Browser/1"} | ({"Origin": origin} if origin is not None else {}) | headers
    return await tenant.api.client.post("/portal", data={"token": token}, headers=sent)


async def asked(tenant: TenantApi) -> int:
    """How many sessions Stripe was asked for."""
    return len(await tenant.api.sandbox.requests(path="/v1/billing_portal/sessions"))


async def test_a_token_opens_one_session_and_a_double_click_gets_the_same(shop: TenantApi) -> None:
    token = await token_of(shop)
    both = await asyncio.gather(use(shop, token), use(shop, token))
    assert [reply.status_code for reply in both] == [303, 303]
    assert len({reply.headers["location"] for reply in both}) == 1
    (row,) = (await shop.get(SESSIONS))["data"]
    assert (row["opened_by"], row["origin"]) == ("browser", ORIGIN)


async def test_a_used_token_is_worth_nothing_to_another_browser(shop: TenantApi) -> None:
    token = await token_of(shop)
    assert (await use(shop, token)).status_code == 303
    stolen = await use(shop, token, **{"User-Agent": "Browser/2"})
    assert stolen.status_code == 401
    assert "location" not in stolen.headers
    assert await asked(shop) == 1


async def test_a_used_token_is_over_after_the_double_click(shop: TenantApi, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await token_of(shop)
    assert (await use(shop, token)).status_code == 303
    monkeypatch.setattr(visiting, "DOUBLE_CLICK", timedelta(0))
    assert (await use(shop, token)).status_code == 401


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "https://evil.example",
        "https://shop.example.evil.example",
        "https://evil.example/https://shop.example",
        "https://user@shop.example",
        "https://shop.example:8443",
        "http://shop.example",
        "https://SHOP.example",
        "https://shop.example/",
        "https://shop.example\\.evil.example",
        "https://xn--shp-8na.example",
        "https://shop.example, https://evil.example",
    ],
)
async def test_a_form_on_any_other_page_opens_nothing(shop: TenantApi, origin: str | None) -> None:
    reply = await use(shop, await token_of(shop), origin)
    assert reply.status_code == 403
    assert "This link does not work" in reply.text
    assert reply.headers["x-frame-options"] == "DENY"
    assert await asked(shop) == 0


async def test_a_token_may_be_bound_to_one_of_the_origins(shop: TenantApi) -> None:
    token = await token_of(shop, origin=ORIGIN)
    assert (await use(shop, token, OTHER)).status_code == 403
    assert (await use(shop, token, ORIGIN)).status_code == 303
    assert (await use(shop, await token_of(shop), OTHER)).status_code == 303
    for wrong in ("https://evil.example", f"{ORIGIN}.evil.example", "shop.example", ""):
        problem(await shop.call("POST", TOKENS, {"origin": wrong}), 400, "origin")


async def test_another_tenants_token_and_page_open_nothing(shop: TenantApi, api: Api) -> None:
    kiln = await api.tenant(name="Kiln", return_origins=["https://kiln.example"])
    await kiln.configuration(default_return_url="https://kiln.example/")
    await kiln.customer("ada")
    token = await token_of(kiln)
    assert (await use(shop, token, ORIGIN)).status_code == 403
    claims = jwt.decode(token, options={"verify_signature": False})
    claims["portal"]["tenant"] = shop.id
    for key in (kiln.key, "x" * 40):
        assert (await use(shop, jwt.encode(claims, key, "HS256"))).status_code == 401
    assert await asked(shop) == 0


async def test_a_token_ends_with_its_last_second(shop: TenantApi) -> None:
    now = time.time()
    over, _ = issue(PortalToken(shop.id, "ada"), SECRET_KEY, now - LIFETIME)
    assert (await use(shop, over)).status_code == 401
    almost, _ = issue(PortalToken(shop.id, "ada"), SECRET_KEY, now - LIFETIME + 30)
    assert (await use(shop, almost)).status_code == 303


async def test_a_customer_has_so_many_sessions_a_minute(shared_database: ScratchDatabase, shop: TenantApi) -> None:
    most = 20
    replies = await asyncio.gather(*(shop.call("POST", SESSIONS, {}) for _ in range(most + 5)))
    assert sorted(reply.status_code for reply in replies) == [201] * most + [429] * 5
    before = await asked(shop)
    refused = await shop.call("POST", SESSIONS, {})
    problem(refused, 429)
    assert refused.headers["retry-after"] == "60"
    page = await use(shop, await token_of(shop))
    assert await asked(shop) == before
    assert page.status_code == 429
    assert "a little too often" in page.text
    await shop.customer("bob")
    assert (await shop.call("POST", "/customers/bob/portal-sessions", {})).status_code == 201


async def test_each_session_is_noted_without_its_url(shop: TenantApi) -> None:
    made = [(await shop.call("POST", SESSIONS, {"locale": "de"})).json() for _ in range(3)]
    first = await shop.get(f"{SESSIONS}?limit=2")
    rest = await shop.get(f"{SESSIONS}?limit=2&after={first['next']}")
    rows = first["data"] + rest["data"]
    assert [row["id"] for row in rows] == [each["id"] for each in reversed(made)]
    assert rest["next"] is None
    assert {row["opened_by"] for row in rows} == {(await shop.get("/keys"))["data"][0]["id"]}
    assert all(row["session"].startswith("bps_") and row["locale"] == "de" for row in rows)
    secrets = [each["url"].rpartition("/")[2] for each in made]
    assert not [secret for secret in secrets if secret in json.dumps(rows)]


async def test_old_visits_are_deleted_and_young_ones_are_not(shop: TenantApi, kiln: TenantApi) -> None:
    await kiln.configuration()
    await kiln.customer("ada")
    made = [(await tenant.call("POST", SESSIONS, {})).json()["id"] for tenant in (shop, shop, shop, kiln, kiln)]
    old = [made[0], made[1], made[3]]
    age = "update portal_visits set created_at = now() - interval '7 days' where id = any($1)"
    await shop.api.sql(age, old)
    platform = await connect(shop.api.database.service_url, Duty.PLATFORM)
    assert await prune(platform, 8) == 0
    assert await prune(platform, 7, batch=1) == 3
    assert await prune(platform, 7) == 0
    await platform.close()
    left = [row["id"] for tenant in (shop, kiln) for row in (await tenant.call("GET", SESSIONS)).json()["data"]]
    assert left == [made[2], made[4]]


async def test_what_fails_for_one_tenant_leaves_the_old_visits_of_no_other(shop: TenantApi, kiln: TenantApi) -> None:
    sql = shop.api.sql
    await kiln.configuration()
    await kiln.customer("ada")
    for tenant in (shop, kiln):
        await tenant.call("POST", SESSIONS, {})
    await sql("update portal_visits set created_at = now() - interval '7 days'")
    ((first,),) = await sql("select min(tenant_id) from portal_visits")
    refusal = "create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$"
    await sql(refusal)
    await sql(
        f"create trigger refuse before delete on portal_visits for each row when (old.tenant_id = {first}) "
        "execute function refuse()"
    )
    platform = await connect(shop.api.database.service_url, Duty.PLATFORM)
    try:
        assert await prune(platform, 7) > 0
        assert {row[0] for row in await sql("select tenant_id from portal_visits")} == {first}
    finally:
        await sql("drop function refuse cascade")
    assert await prune(platform, 7) > 0
    await platform.close()
    assert await sql("select from portal_visits") == []


async def test_a_revoked_key_and_a_changed_tenant_are_not_remembered(shop: TenantApi) -> None:
    made = (await shop.call("POST", "/keys", {"name": "till"})).json()
    assert (await shop.call("POST", SESSIONS, {}, key=made["key"])).status_code == 201
    assert (await shop.call("POST", SESSIONS, {}, key=made["key"])).status_code == 201  # from memory
    await shop.call("DELETE", f"/keys/{made['id']}")
    problem(await shop.call("POST", SESSIONS, {}, key=made["key"]), 401)
    assert (await shop.call("POST", SESSIONS, {})).status_code == 201
    await shop.call("PATCH", "", {"return_origins": [OTHER]})
    problem(await shop.call("POST", SESSIONS, {}), 400, "return_url")


async def test_what_another_process_changes_is_heard(shop: TenantApi) -> None:
    assert (await shop.call("POST", SESSIONS, {})).status_code == 201
    await shop.api.sql("update tenants set return_origins = $2 where public_id = $1", shop.id, [OTHER])

    async with asyncio.timeout(20):
        while (await shop.call("POST", SESSIONS, {})).status_code != 400:
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("fact", ["suspended_at", "archived_at"])
async def test_a_tenant_that_was_open_a_moment_ago_opens_no_portal(shop: TenantApi, fact: str) -> None:
    before = await asked(shop)
    async with services_of(shop) as services:
        tenant = await tenant_by_id(services, shop.id)
        await shop.api.sql(f"update tenants set {fact} = now() where public_id = $1", shop.id)
        for opener in BOTH_WAYS:
            with pytest.raises(Closed) as refused:
                await sessions.open_session(services, tenant, "ada", SessionRequest(), opener)
            assert refused.value.code == fact.removesuffix("_at")
    assert await asked(shop) == before


async def test_a_repeat_opens_no_portal_of_a_tenant_that_was_suspended_meanwhile(shop: TenantApi) -> None:
    async with services_of(shop) as services:
        tenant = await tenant_by_id(services, shop.id)
        again = Opener("key_1", once="k")
        assert (await sessions.open_session(services, tenant, "ada", SessionRequest(), again)).url
        before = await asked(shop)
        await shop.api.sql("update tenants set suspended_at = now() where public_id = $1", shop.id)
        with pytest.raises(Closed) as refused:
            await sessions.open_session(services, tenant, "ada", SessionRequest(), again)
        assert refused.value.code == "suspended"
    assert await asked(shop) == before


async def test_a_used_token_is_known_by_itself_and_not_taken_for_one_too_many(shop: TenantApi) -> None:
    token = await token_of(shop)
    first = await use(shop, token)
    await shop.api.sql("update portal_visits set id = id || 'x' where token is not null")  # another id than its token's
    assert (await use(shop, token, **{"User-Agent": "Browser/2"})).status_code == 401
    assert first.status_code == 303
    assert len((await shop.get(SESSIONS))["data"]) == 1


async def test_a_name_that_cannot_be_is_no_configuration(shop: TenantApi) -> None:
    for name in ("", "bpc_1", "main "):
        problem(await shop.call("POST", SESSIONS, {"configuration": name}), 404, "configuration")
    problem(await shop.call("POST", "/customers/a%00/portal-sessions", {}), 404, "reference")


async def test_another_tenants_sessions_are_not_shown(shop: TenantApi, kiln: TenantApi) -> None:
    await shop.call("POST", SESSIONS, {})
    problem(await kiln.call("GET", SESSIONS), 404, "reference")
    problem(await kiln.call("POST", PREVIEW, {}), 404, "reference")
    await kiln.customer("ada")
    assert (await kiln.get(SESSIONS))["data"] == []


async def test_another_tenants_subscription_and_configuration_are_not_previewed(
    shop: TenantApi, kiln: TenantApi
) -> None:
    await kiln.customer("ada")
    await kiln.configuration("theirs")
    foreign = (await kiln.subscription())["id"]
    problem(await shop.call("POST", PREVIEW, {"configuration": "theirs"}), 404, "configuration")
    flow = {"type": "subscription_cancel", "subscription": foreign}
    reply = await shop.call("POST", PREVIEW, {"flow": flow})
    assert reply.json()["flow"]["reasons"][0]["code"] == "unknown_subscription"
    assert foreign not in {each["id"] for each in reply.json()["subscriptions"]}
    problem(await shop.call("POST", PREVIEW, {"return_url": "https://evil.example/"}), 400, "return_url")


async def test_a_configuration_that_was_deactivated_at_stripe_is_a_dead_end_in_words(shop: TenantApi) -> None:
    subscription = (await shop.subscription())["id"]
    made = await shop.get("/portal-configurations/main")
    assert (await shop.call("POST", PREVIEW, {})).json()["reasons"] == []
    token = await token_of(shop)
    await edit(shop, made, active="false")
    flow = {"type": "subscription_cancel", "subscription": subscription}
    for body in ({}, {"flow": flow, "fallback": True}):
        said = problem(await shop.call("POST", SESSIONS, body), 409, "configuration")
        assert (said["type"], said["code"]) == ("urn:colonnade:problem:dead-end", "configuration_inactive")
        assert said["detail"] == "The portal configuration 'main' was deactivated at Stripe: revert that."
    page = await use(shop, token)
    assert (page.status_code, made["stripe_configuration"] in page.text) == (409, False)
    await worker_looks(shop)
    said = problem(await shop.call("POST", TOKENS, {}), 409, "configuration")
    assert said["code"] == "configuration_inactive"
    reply = await shop.call("POST", PREVIEW, {"flow": {"type": "payment_method_update"}})
    found = reply.json()
    assert [each["code"] for each in found["reasons"]] == ["configuration_inactive"]
    assert [each["code"] for each in found["flow"]["reasons"]] == ["configuration_inactive"]
    (shown,) = found["subscriptions"]
    assert shown["actions"] == []
    assert {reasons[0]["code"] for reasons in shown["blocked"].values()} == {"configuration_inactive"}
    assert (await shop.call("POST", "/portal-configurations/main/revert", {})).status_code == 200
    assert (await shop.call("POST", SESSIONS, {})).status_code == 201
    assert await token_of(shop)


async def test_a_dead_end_is_refused_with_its_reason(shop: TenantApi) -> None:
    subscription = (await shop.subscription())["id"]
    await shop.api.sandbox.call("POST", f"/v1/subscriptions/{subscription}", {"cancel_at_period_end": "true"})
    flow = {"type": "subscription_cancel", "subscription": subscription}
    said = problem(await shop.call("POST", SESSIONS, {"flow": flow}), 409, "flow")
    assert (said["type"], said["code"]) == ("urn:colonnade:problem:dead-end", "already_cancelling")
    problem(await shop.call("POST", TOKENS, {"flow": flow}), 409, "flow")
    plain = (await shop.call("POST", SESSIONS, {"flow": flow, "fallback": True})).json()
    assert plain["left_out"]["code"] == "already_cancelling"
    assert (await shop.get(SESSIONS))["data"][0]["left_out"] == "already_cancelling"


async def test_a_repeated_request_is_one_session_and_another_is_a_conflict(shop: TenantApi) -> None:
    flow = {"type": "payment_method_update"}
    body = {"flow": flow, "fallback": True, "after_expiration": {"login_until": "2030-01-01T00:00:00Z"}}
    both = await asyncio.gather(*(shop.call("POST", SESSIONS, body, idempotency_key="k") for _ in range(2)))
    assert [reply.status_code for reply in both] == [201, 201]
    assert both[0].json() == both[1].json()
    problem(await shop.call("POST", SESSIONS, {}, idempotency_key="k"), 409, "Idempotency-Key")
    assert len((await shop.get(SESSIONS))["data"]) == 1
    (sent, *_) = await shop.api.sandbox.requests(path="/v1/billing_portal/sessions")
    assert "after_expiration%5Btype%5D=customer_login" in sent["body"] or "after_expiration[type]" in sent["body"]


async def test_bad_expirations_are_named(shop: TenantApi) -> None:
    for until in ("tomorrow", "2030-01-01T00:00:00", 5):
        reply = await shop.call("POST", SESSIONS, {"after_expiration": {"login_until": until}})
        problem(reply, 400, "after_expiration.login_until")


RULES = "/portal-rules"


@pytest.fixture
async def ruled(shop: TenantApi) -> TenantApi:
    """A tenant with three configurations, and rules for two of them."""
    await shop.configuration("germany")
    await shop.configuration("big")
    await shop.put("/plans/pro", {"name": "Pro", "price": "price_1", "grants": []})
    by_country = {"configuration": "germany", "countries": ["DE", "AT"]}
    by_metadata = {"configuration": "big", "plans": ["pro"], "metadata": {"size": "big"}}
    await shop.put(RULES, {"rules": [by_country, by_metadata]})
    return shop


async def test_the_first_rule_that_fits_chooses_and_is_shown(ruled: TenantApi) -> None:
    default = (await ruled.call("POST", SESSIONS, {})).json()
    assert (default["configuration"], default["chosen_by"]) == ("main", {"by": "default"})
    named = (await ruled.call("POST", SESSIONS, {"configuration": "big"})).json()
    assert (named["configuration"], named["chosen_by"]) == ("big", {"by": "name"})
    (customer,) = await ruled.api.sql(
        "select c.tenant_id, c.id, c.stripe_customer from customers c join tenants t on t.id = c.tenant_id "
        "where t.public_id = $1",
        ruled.id,
    )
    await ruled.put("/customers/ada", {"email": "a@example.com", "metadata": {"size": "big"}})
    assert (await ruled.call("POST", SESSIONS, {})).json()["configuration"] == "main"  # no such plan yet
    await ruled.api.sql(
        "insert into subscriptions (tenant_id, id, customer_id, status, started_at, source_created, source_event) "
        "values ($1, 'sub_1', $2, 'active', now(), now(), 'evt_1')",
        customer["tenant_id"],
        customer["id"],
    )
    await ruled.api.sql(
        "insert into subscription_items values ($1, 'sub_1', 'si_1', 'price_1', 'prod_1', 1, now(), now())",
        customer["tenant_id"],
    )
    chosen = (await ruled.call("POST", SESSIONS, {})).json()
    rule = {"configuration": "big", "plans": ["pro"], "metadata": {"size": "big"}}
    assert (chosen["configuration"], chosen["chosen_by"]) == ("big", {"by": "rule", "rule": rule})
    await ruled.api.sql(
        "insert into billing_details (tenant_id, id, customer_id, address, gone, source_created, source_event) "
        "values ($1, $2, $3, '{\"country\": \"DE\"}', false, now(), 'evt_1')",
        customer["tenant_id"],
        customer["stripe_customer"],
        customer["id"],
    )
    assert (await ruled.call("POST", SESSIONS, {})).json()["configuration"] == "germany"
    newest = (await ruled.get(SESSIONS))["data"][0]
    assert (newest["chosen_by"], newest["rule"]["configuration"]) == ("rule", "germany")


@pytest.mark.parametrize(
    ("rule", "param"),
    [
        ({"configuration": "main"}, "rules[0]"),
        ({"configuration": "gone", "countries": ["DE"]}, "rules[0].configuration"),
        ({"configuration": "main", "countries": ["de"]}, "rules[0].countries[0]"),
        ({"configuration": "main", "plans": ["gone"]}, "rules[0].plans[0]"),
        ({"configuration": "main", "country": "DE"}, "rules[0].country"),
        ({"countries": ["DE"]}, "rules[0].configuration"),
    ],
)
async def test_a_bad_rule_is_named_and_nothing_written(shop: TenantApi, rule: dict[str, Any], param: str) -> None:
    problem(await shop.call("PUT", RULES, {"rules": [rule]}), 400, param)
    assert (await shop.get(RULES))["rules"] == []


async def test_another_tenants_configuration_and_plan_make_no_rule(shop: TenantApi, kiln: TenantApi) -> None:
    await kiln.configuration("theirs")
    await kiln.put("/plans/pro", {"name": "Pro", "price": "price_2", "grants": []})
    for rule, param in (
        ({"configuration": "theirs", "countries": ["DE"]}, "rules[0].configuration"),
        ({"configuration": "main", "plans": ["pro"]}, "rules[0].plans[0]"),
    ):
        problem(await shop.call("PUT", RULES, {"rules": [rule]}), 400, param)


async def test_a_deactivated_configuration_is_refused_by_name_and_passed_over_by_rule(ruled: TenantApi) -> None:
    await ruled.put("/customers/ada", {"email": "ada@example.com", "metadata": {"size": "big"}})
    await ruled.put("/portal-rules", {"rules": [{"configuration": "big", "metadata": {"size": "big"}}]})
    assert (await ruled.call("POST", SESSIONS, {})).json()["configuration"] == "big"
    assert (await ruled.call("POST", "/portal-configurations/big/deactivate")).status_code == 200
    problem(await ruled.call("POST", SESSIONS, {"configuration": "big"}), 409, "configuration")
    assert (await ruled.call("POST", SESSIONS, {})).json()["configuration"] == "main"


async def test_rules_that_changed_meanwhile_are_not_overwritten(ruled: TenantApi) -> None:
    tag = (await ruled.call("GET", RULES)).headers["etag"]
    assert (await ruled.call("PUT", RULES, {"rules": []}, if_match=tag)).status_code == 200
    problem(await ruled.call("PUT", RULES, {"rules": []}, if_match=tag), 412, "If-Match")


async def test_a_return_to_an_origin_that_was_taken_back_leads_nowhere(shop: TenantApi) -> None:
    made = (await shop.call("POST", SESSIONS, {"return_url": RETURN_URL})).json()
    outcome = json.dumps({"result": "unchanged", "changes": []})
    await shop.api.sql("update portal_visits set outcome = $2, settled_at = now() where id = $1", made["id"], outcome)
    path = links.link("", Place(shop.id, made["id"]), SECRET_KEY)
    assert (await shop.api.client.get(path)).status_code == 303
    await shop.call("PATCH", "", {"return_origins": ["https://new.example"]})
    page = await shop.api.client.get(path)
    assert page.status_code == 400
    assert "location" not in page.headers


@pytest.fixture
async def down(shared_database: ScratchDatabase, sandbox: Sandbox) -> AsyncIterator[Api]:
    async with running_api(shared_database, sandbox, stripe="http://127.0.0.1:1") as api:
        yield api


async def test_without_stripe_the_customer_is_sent_on_in_the_end(shop: TenantApi, down: Api) -> None:
    made = (await shop.call("POST", SESSIONS, {})).json()
    path = links.link("", Place(shop.id, made["id"]), SECRET_KEY)
    waiting = await down.client.get(path)
    assert waiting.status_code == 200
    assert 'http-equiv="refresh"' in waiting.text
    before = datetime.now(UTC) - timedelta(seconds=31)
    await shop.api.sql("update portal_visits set returned_at = $2 where id = $1", made["id"], before)
    on = await down.client.get(path)
    assert on.status_code == 303
    claims = jwt.decode(on.headers["location"].partition("portal_result=")[2], options={"verify_signature": False})
    assert (claims["result"], claims["aud"], claims["sub"]) == ("unknown", shop.id, "ada")


@given(st.text(max_size=80), st.sampled_from(["ten_1", "ten_2"]), st.sampled_from(["pvi_1", "pvi_2"]))
def test_no_invented_link_names_a_visit(text: str, tenant: str, visit: str) -> None:
    for forged in (text, f"{tenant}.{visit}.{text}", f"{text}.{visit}.{'0' * 32}"):
        with pytest.raises(NotFound):
            links.verify(forged, SECRET_KEY)


@given(st.text("abc0123_", min_size=1, max_size=20), st.text("abc0123_", min_size=1, max_size=20))
def test_a_link_names_the_visit_that_it_was_made_for_and_no_other(tenant: str, visit: str) -> None:
    made = links.token(Place(tenant, visit), SECRET_KEY)
    assert links.verify(made, SECRET_KEY) == Place(tenant, visit)
    mac = made.rpartition(".")[2]
    for other in (f"{tenant}x.{visit}.{mac}", f"{tenant}.{visit}x.{mac}", f"{visit}.{tenant}.{mac}"):
        if other != made:
            with pytest.raises(NotFound):
                links.verify(other, SECRET_KEY)
    with pytest.raises(NotFound):
        links.verify(made, SECRET_KEY + "x")


@given(st.text("ab=&%2", max_size=20), st.text("ab/", max_size=10))
def test_a_result_is_added_once_and_leaves_the_rest(query: str, fragment: str) -> None:
    url = f"https://shop.example/a?{query}#{fragment}"
    once = with_result(url, "t1")
    assert with_result(once, "t2") == once.replace("portal_result=t1", "portal_result=t2")
    assert once.startswith("https://shop.example/a?")
    assert once.partition("#")[2] == fragment


def test_what_changed_is_told_by_comparing_two_states() -> None:
    def state(**fields: Any) -> State:
        item: dict[str, Any] = {
            "id": "si_1",
            "price": fields.pop("price", "p1"),
            "product": "x",
            "quantity": fields.pop("quantity", 1),
        }
        subscription: dict[str, Any] = {
            "id": "sub_1",
            "status": "active",
            "cancel_at": None,
            "schedule": None,
            "on_behalf_of": None,
        }
        own: dict[str, Any] = {
            name: fields.pop(name) for name in ("payment_methods", "details", "tax_ids", "invoices") if name in fields
        }
        given = {"subscriptions": [subscription | {"items": [item], "pending": []} | fields], **own}
        return decode(json.dumps(given))

    plain = state()
    later = [{"price": "p0", "quantity": 1}]
    expected: list[tuple[State, State, list[str]]] = [
        (plain, plain, []),
        (State(), plain, []),
        (State(), state(details={"name": "1"}), []),
        (plain, state(status="canceled"), ["subscription_ended"]),
        (plain, state(cancel_at="2030-01-01T00:00:00Z"), ["cancellation_scheduled"]),
        (state(cancel_at="2030-01-01T00:00:00Z"), plain, ["cancellation_withdrawn"]),
        (plain, state(price="p2"), ["plan_changed"]),
        (plain, state(quantity=3), ["quantity_changed"]),
        (plain, state(pending=later), ["plan_change_scheduled"]),
        (state(pending=later), plain, ["plan_change_withdrawn"]),
        (state(pending=later), state(price="p0"), ["plan_changed"]),
        (plain, state(status="paused"), ["subscription_paused"]),
        (state(status="paused"), plain, ["subscription_resumed"]),
        (plain, state(status="past_due"), ["status_changed"]),
        (plain, state(payment_methods=["pm_1"]), ["payment_method_added"]),
        (state(payment_methods=["pm_1"]), plain, ["payment_method_removed"]),
        (state(details={"name": "1"}), state(details={"name": "2"}), ["details_changed"]),
        (plain, state(tax_ids=["txi_1"]), ["tax_ids_changed"]),
        (state(discounts=[]), state(discounts=["di_1"]), ["discount_added"]),
        (state(discounts=["di_1"]), state(discounts=["di_2"]), ["discount_added", "discount_removed"]),
        (plain, state(discounts=["di_1"]), []),  # they were not kept before
        (state(invoices={"in_1": "open"}), state(invoices={"in_1": "paid"}), ["invoice_paid"]),
        (state(invoices={"in_1": "open"}), state(invoices={"in_1": "void"}), []),
        (plain, state(invoices={"in_1": "open"}), []),
    ]
    for before, after, wanted in expected:
        assert [change.what for change in changes(before, after)] == wanted


async def visited(tenant: TenantApi) -> tuple[str, str]:
    """A new visit, and the path of its way back."""
    made = (await tenant.call("POST", SESSIONS, {})).json()["id"]
    return made, links.link("", Place(tenant.id, made), SECRET_KEY)


async def test_a_later_read_of_stripe_is_stored_beside_the_first(shop: TenantApi) -> None:
    visit, path = await visited(shop)
    first: set[str] = set()
    for _ in range(2):
        await shop.api.client.get(path)
        earlier = "returned_at = returned_at - interval '1 s', reread_at = null, reread_events = null"
        await shop.api.sql(f"update portal_visits set {earlier} where id = $1", visit)
        await shop.api.client.get(path)
        (row,) = await shop.api.sql("select reread_events from portal_visits where id = $1", visit)
        assert row["reread_events"]
        assert not first & set(row["reread_events"])
        first |= set(row["reread_events"])
    stored = await shop.api.sql("select event_id from inbox where event_id = any($1)", list(first))
    assert {row["event_id"] for row in stored} == first


async def test_streams_have_a_limit_for_each_tenant_beyond_which_the_page_refreshes(
    api: Api, shop: TenantApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    kiln = await api.tenant(name="Kiln")
    await kiln.configuration()
    await kiln.customer("ada")
    mine, theirs = [f"{(await visited(tenant))[1]}/events" for tenant in (shop, kiln)]
    waits = asyncio.Event()

    async def settled(_: Any, tenant: Any, __: str) -> str:
        if tenant.public_id == shop.id and not waits.is_set():
            waits.set()
            await asyncio.Event().wait()
        return RETURN_URL

    monkeypatch.setattr(rooms, "OF_TENANT", 1)
    monkeypatch.setattr(return_routes, "_settled", settled)
    first = asyncio.create_task(api.client.get(mine))
    await waits.wait()
    full = await api.client.get(mine)
    assert (full.status_code, full.headers["Retry-After"]) == (503, "2")
    assert full.headers["content-type"].startswith("text/html")
    assert "event: settled" in (await api.client.get(theirs)).text
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert "event: settled" in (await api.client.get(mine)).text


def test_a_process_has_room_for_so_many_streams_and_counts_each_until_it_ends() -> None:
    room = rooms.Room()
    with ExitStack() as stack:
        for number in range(rooms.OF_PROCESS):
            room.require(number)
            stack.enter_context(room.taken(number))
        with pytest.raises(Unavailable):
            room.require(rooms.OF_PROCESS)
    room.require(rooms.OF_PROCESS)
    assert not room._open


async def test_waiting_writes_nothing(shop: TenantApi) -> None:
    visit, path = await visited(shop)
    await shop.get(SESSIONS)  # once the session's id is noted
    written = set()
    for _ in range(2):
        await shop.api.client.get(path)
        later = "select xmin::text, returned_at from portal_visits where id = $1"
        (row,) = await shop.api.sql(later, visit)
        written.add((row["xmin"], row["returned_at"]))
    ((_, returned),) = written
    assert returned is not None


async def brought_back(tenant: TenantApi, path: str) -> str:
    """The result with which the customer is sent on, where Stripe delivers nothing and the worker handles the rest."""
    async with asyncio.timeout(20), services_of(tenant) as services:
        dispatcher = Dispatcher(services.stripe, HANDLERS, Extensions(services.stripe, ()))
        async with await create_pool(tenant.api.database.service_url, Duty.WORKER, size=1) as pool:
            while (reply := await tenant.api.client.get(path)).status_code == 200:
                await dispatcher.batch(pool)
                await asyncio.sleep(0.1)
    assert reply.status_code == 303
    token = reply.headers["location"].partition("portal_result=")[2]
    found: str = jwt.decode(token, options={"verify_signature": False})["result"]
    return found


@pytest.mark.parametrize("how", ["", "/done"])
async def test_a_second_return_tells_what_was_changed_since_the_first(shop: TenantApi, how: str) -> None:
    visit, path = await visited(shop)
    assert await brought_back(shop, path + how) == "unchanged"
    customer = (await shop.get("/customers/ada"))["stripe_customer"]
    await shop.api.sandbox.call("POST", "/v1/payment_methods/pm_card_visa/attach", {"customer": customer})
    assert await brought_back(shop, path + how) == "unchanged"  # the same return still
    earlier = "settled_at = settled_at - interval '6 s', completed_at = completed_at - interval '6 s'"
    await shop.api.sql(f"update portal_visits set {earlier} where id = $1", visit)
    assert await brought_back(shop, path + how) == "changed"


async def test_a_return_after_one_that_was_never_waited_for_begins_anew(shop: TenantApi) -> None:
    visit, path = await visited(shop)
    assert (await shop.api.client.get(path)).status_code == 200  # as a browser does that loads links ahead
    await shop.api.sql("update portal_visits set returned_at = now() - interval '1 h' where id = $1", visit)
    assert await brought_back(shop, path) == "unchanged"

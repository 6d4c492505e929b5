"""Existing accounts connect by OAuth: through one browser, once, for the tenant that was meant."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import httpx
import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colonnade.accounts import oauth
from colonnade.database.connections import connect
from colonnade.database.roles import Duty
from colonnade.errors import Forbidden, Invalid
from colonnade.webhooks.clues import Clue
from colonnade.webhooks.directory import look_up
from tests.conftest import ScratchDatabase
from tests.platform.api import BASE_URL, NOWHERE, ORIGIN, Api, Sandbox, TenantApi, problem, running_api
from tests.platform.lifecycles import GONE, about_access, working
from tests.sandbox.browser import Browser

pytestmark = pytest.mark.slow

RETURN = f"{ORIGIN}/connected?from=stripe"
ASKED = {"return_url": RETURN}


@pytest.fixture
async def client_id(sandbox: Sandbox) -> str:
    """The Connect application's id, as every event about it tells."""
    account = (await sandbox.call("POST", "/v1/accounts", {"type": "standard"}))["id"]
    events = await sandbox.call("GET", "/v1/events?type=account.application.authorized", account=account)
    return str(events["data"][0]["data"]["object"]["id"])


@pytest.fixture
async def api(shared_database: ScratchDatabase, sandbox: Sandbox, client_id: str) -> AsyncIterator[Api]:
    origins = ("https://platform.example",)
    async with running_api(shared_database, sandbox, stripe_client_id=client_id, platform_origins=origins) as running:
        yield running


@pytest.fixture
async def fern(api: Api) -> TenantApi:
    return await api.tenant(name="Fern", country=None, connect="oauth")


@pytest.fixture
async def consent(sandbox: Sandbox) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession() as http:
        yield Browser(http)


async def start(tenant: TenantApi, **asked: Any) -> Any:
    reply = await tenant.call("POST", "/account-connections", ASKED | asked, key=tenant.api.key)
    assert reply.status_code == 201, reply.text
    return reply.json()


class Visitor:
    """A browser: our pages by the application, Stripe's by the sandbox; our cookies are kept."""

    def __init__(self, api: Api, stripe: Browser) -> None:
        self.api, self.stripe = api, stripe
        self.cookies: dict[str, str] = {}

    async def open(self, url: str) -> httpx.Response:
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        reply = await self.api.client.get(url.removeprefix(BASE_URL), headers=sent)
        self.api.client.cookies.clear()
        self.cookies.update(reply.cookies)
        return reply

    async def consented(self, url: str, action: str = "connect", **fields: str) -> str:
        """The URL that Stripe's page sends the browser back to."""
        reply = await self.open(url)
        assert reply.status_code == 303, reply.text
        assert reply.headers["location"].startswith(self.api.sandbox.url)
        page = await self.stripe.get(reply.headers["location"])
        done = await self.stripe.submit(page, page.forms[0].button, follow=False, action=action, **fields)
        assert done.headers["location"].startswith(f"{BASE_URL}/connect/callback?")
        return done.headers["location"]


@pytest.fixture
def visitor(api: Api, consent: Browser) -> Visitor:
    return Visitor(api, consent)


def result_of(reply: httpx.Response) -> dict[str, str]:
    assert reply.status_code == 303, reply.text
    found = urlsplit(reply.headers["location"])
    assert f"{found.scheme}://{found.netloc}{found.path}" == f"{ORIGIN}/connected"
    return {name: values[0] for name, values in parse_qs(found.query).items()}


async def state_of(tenant: TenantApi, connection: dict[str, Any]) -> tuple[str, str | None, str | None]:
    found = await tenant.get(f"/account-connections/{connection['id']}")
    return found["state"], found["account"], found["problem"]


async def test_a_business_connects_the_account_that_it_has(fern: TenantApi, visitor: Visitor) -> None:
    assert (await fern.get(""))["account"] is None
    waiting = await fern.get("/readiness")
    assert (waiting["state"], waiting["waits_for"]) == ("onboarding", ["business"])
    listed = (await fern.api.call("GET", "/v1/tenants?readiness=onboarding")).json()["data"]
    assert [row["readiness"]["reason"] for row in listed if row["id"] == fern.id] == [waiting["reason"]]
    begun = await start(fern)
    assert await state_of(fern, begun) == ("pending", None, None)
    back = await visitor.consented(begun["url"], business_name="Fern and daughters")
    said = result_of(await visitor.open(back))
    assert said == {"from": "stripe", "connection": begun["id"], "result": "connected"}
    account = (await fern.get(""))["account"]
    assert await state_of(fern, begun) == ("connected", account, None)
    assert (await fern.get("/readiness"))["state"] == "ready"
    kept = await fern.api.sql("select to_jsonb(c)::text as row from account_connections c")
    assert not [row for row in kept if "sk_test_" in row["row"] or "rt_" in row["row"]]
    lines = (await fern.call("GET", "/audit", key=fern.api.key)).json()["data"]
    assert [line["action"] for line in lines if line["action"] != "key.created"][:2] == [
        "tenant.connected",
        "account_connection.created",
    ]
    assert lines[0]["after"]["stripe_account"] == account
    assert begun["url"] not in json.dumps(lines)
    spent = await visitor.open(begun["url"])
    assert spent.status_code == 409
    assert "connected already" in spent.text


async def test_an_account_is_expected_from_the_opening_of_the_link_for_an_hour(
    fern: TenantApi, visitor: Visitor
) -> None:
    begun = await start(fern)
    back = "update tenants set updated_at = now() - interval '61 minutes'"
    await fern.api.sql(back)
    connection = await connect(fern.api.database.service_url, Duty.WORKER)
    try:
        clues = [Clue("account", "account", "acct_new")]
        assert not (await look_up(connection, clues)).creating
        await visitor.open(begun["url"])
        assert (await look_up(connection, clues)).creating
        noted = await fern.api.sql("select updated_at from tenants")
        await visitor.open(begun["url"])
        assert await fern.api.sql("select updated_at from tenants") == noted, "each look would empty everybody's memory"
        await fern.api.sql(back)
        assert not (await look_up(connection, clues)).creating
    finally:
        await connection.close()


async def test_an_answer_works_once_and_its_page_may_be_loaded_anew(fern: TenantApi, visitor: Visitor) -> None:
    begun = await start(fern)
    denied, back = await visitor.consented(begun["url"], "deny"), await visitor.consented(begun["url"])
    assert result_of(await visitor.open(denied))["result"] == "denied"
    assert (await visitor.open(denied)).status_code == 409
    assert result_of(await visitor.open(back))["result"] == "connected"
    account = (await fern.get(""))["account"]
    assert result_of(await visitor.open(back))["result"] == "connected"
    again = await visitor.open(denied)
    assert again.status_code == 409
    assert "used already" in again.text
    assert await state_of(fern, begun) == ("connected", account, None)


async def is_connected(tenant: TenantApi, account: str) -> bool:
    """Whether the platform may still use *account*."""
    found = await tenant.api.sandbox.call("GET", "/v1/accounts?limit=100")
    return account in {each["id"] for each in found["data"]}


async def test_of_two_browsers_with_one_link_the_later_is_told_so_and_its_access_given_back(
    fern: TenantApi, visitor: Visitor, consent: Browser
) -> None:
    begun = await start(fern)
    browsers = [visitor, Visitor(fern.api, consent)]
    answers = [await each.consented(begun["url"]) for each in browsers]
    await fern.api.sandbox.fail(next=4, status=0, delay=0.5, path="/v1/account")  # until both codes are exchanged
    replies = await asyncio.gather(*(each.open(url) for each, url in zip(browsers, answers, strict=True)))
    await fern.api.sandbox.fail()
    late, good = sorted(replies, key=lambda reply: -reply.status_code)
    assert result_of(good)["result"] == "connected"
    assert late.status_code == 409
    assert "Another account was connected" in late.text
    account = (await fern.get(""))["account"]
    assert await state_of(fern, begun) == ("connected", account, None)
    assert await is_connected(fern, account)
    events = await fern.api.sandbox.call("GET", "/v1/accounts?limit=100")
    owned = {row["stripe_account"] for row in await fern.api.sql("select stripe_account from tenants")}
    standard = {each["id"] for each in events["data"] if (each["business_profile"] or {}).get("name") == "Fern"}
    assert standard <= owned, "an account is connected that is nobody's"
    again = await browsers[replies.index(late)].open(answers[replies.index(late)])
    assert again.status_code == 409


async def test_another_browser_cannot_bring_the_answer(fern: TenantApi, visitor: Visitor, consent: Browser) -> None:
    begun = await start(fern)
    back = await visitor.consented(begun["url"])
    victim = Visitor(fern.api, consent)
    for cookies in ({}, {next(iter(visitor.cookies)): "x" * 43}):
        victim.cookies = cookies
        reply = await victim.open(back)
        assert reply.status_code == 403
        assert "another browser" in reply.text
    assert (await fern.get(""))["account"] is None
    assert result_of(await visitor.open(back))["result"] == "connected", "and nothing was used up"


async def test_a_state_of_another_request_or_nobodys_is_refused(fern: TenantApi, visitor: Visitor) -> None:
    begun = await start(fern)
    other = await visitor.api.tenant(name="Kiln", country=None, connect="oauth")
    back = await visitor.consented(begun["url"])
    stolen = parse_qs(urlsplit(back).query)["code"][0]
    state = parse_qs(urlsplit(back).query)["state"][0]
    for forged in ("", "x", state[:-4] + "AAAA", "eyJhbGciOiJub25lIn0.e30."):
        reply = await visitor.open(f"/connect/callback?code={stolen}&state={forged}")
        assert reply.status_code == 400
        assert "not asked for" in reply.text
    theirs = await visitor.consented((await start(other))["url"])
    swapped = theirs.replace(parse_qs(urlsplit(theirs).query)["code"][0], "ac_made_up")
    assert result_of(await visitor.open(swapped))["result"] == "failed"
    assert (await other.get(""))["account"] is None
    odd = await visitor.consented((await start(other))["url"])
    said = f"/connect/callback?state={parse_qs(urlsplit(odd).query)['state'][0]}&error=%00%3Cscript%3E"
    assert result_of(await visitor.open(said))["result"] == "failed"


KEY = "k" * 64
COOKIE = "c" * 43
STATE = oauth.State("con_1", "nonce", hashlib.sha256(COOKIE.encode()).hexdigest())
OURS = oauth.sign(KEY, STATE)
COOKIES = st.dictionaries(st.sampled_from(["colonnade_con_1", "colonnade_con_2"]), st.text() | st.just(COOKIE))
TEXTS = st.text() | st.tuples(st.integers(0, len(OURS) - 1), st.characters()).map(
    lambda change: OURS[: change[0]] + change[1] + OURS[change[0] + 1 :]
)


def test_what_we_said_to_this_browser_is_verified() -> None:
    assert oauth.verify(KEY, OURS, {"colonnade_con_1": COOKIE}) == STATE


@given(text=TEXTS | st.just(OURS), key=st.sampled_from([KEY, "o" * 64]), cookies=COOKIES)
def test_nothing_else_is(text: str, key: str, cookies: dict[str, str]) -> None:
    right = (text, key, cookies.get("colonnade_con_1")) == (OURS, KEY, COOKIE)
    try:
        assert oauth.verify(key, text, cookies) == STATE
    except (Invalid, Forbidden):
        assert not right
    else:
        # The last letter of a signature has bits that base64 leaves unused.
        assert right or (text[:-1], key, cookies.get("colonnade_con_1")) == (OURS[:-1], KEY, COOKIE)


def test_no_other_algorithm_or_audience_is_taken() -> None:
    said = {"exp": 4_000_000_000, "connect": msgspec.to_builtins(STATE)}
    for forged in (
        jwt.encode({**said, "aud": "colonnade:connect"}, "", "none"),
        jwt.encode({**said, "aud": "colonnade:connect"}, KEY, "HS512"),
        jwt.encode({**said, "aud": "colonnade:portal"}, KEY, "HS256"),
        jwt.encode({"aud": "colonnade:connect", "connect": said["connect"]}, KEY, "HS256"),
        jwt.encode({**said, "aud": "colonnade:connect", "exp": 1}, KEY, "HS256"),
    ):
        with pytest.raises(Invalid):
            oauth.verify(KEY, forged, {"colonnade_con_1": COOKIE})


async def test_who_does_not_agree_may_change_their_mind(fern: TenantApi, visitor: Visitor) -> None:
    begun = await start(fern)
    assert result_of(await visitor.open(await visitor.consented(begun["url"], "deny")))["result"] == "denied"
    assert await state_of(fern, begun) == ("denied", None, "The business did not agree.")
    assert (await fern.get(""))["account"] is None
    assert result_of(await visitor.open(await visitor.consented(begun["url"])))["result"] == "connected"


async def test_an_account_of_another_tenant_or_the_platforms_own_is_not_connected(
    fern: TenantApi, visitor: Visitor
) -> None:
    assert result_of(await visitor.open(await visitor.consented((await start(fern))["url"])))["result"] == "connected"
    account = (await fern.get(""))["account"]
    kiln = await fern.api.tenant(name="Kiln", country=None, connect="oauth")
    begun = await start(kiln)
    back = await visitor.consented(begun["url"], account=account)
    assert result_of(await visitor.open(back))["result"] == "failed"
    assert await state_of(kiln, begun) == ("failed", None, f"{account} belongs to a tenant already.")
    assert ((await kiln.get(""))["account"], (await fern.get(""))["account"]) == (None, account)
    own = (await fern.api.sandbox.call("GET", "/v1/account"))["id"]
    problem(await fern.api.call("POST", "/v1/tenants", {"name": "Own", "account": own}), 400, "account")


async def test_whoever_has_an_account_is_refused_before_consent_and_a_second_one_that_was_under_way_too(
    fern: TenantApi, visitor: Visitor
) -> None:
    first, late, unopened = [await start(fern) for _ in range(3)]
    back, behind = await visitor.consented(first["url"]), await visitor.consented(late["url"])
    assert result_of(await visitor.open(back))["result"] == "connected"
    account = (await fern.get(""))["account"]
    assert result_of(await visitor.open(behind))["result"] == "failed"
    assert (await state_of(fern, late))[2] == "This tenant has another account already."
    refused = await visitor.open(unopened["url"])
    assert (refused.status_code, "has an account already" in refused.text) == (409, True)
    made = "select count(*) from account_connections"
    before = await fern.api.sql(made)
    problem(await fern.call("POST", "/account-connections", ASKED, key=fern.api.key), 409, "tenant")
    assert await fern.api.sql(made) == before
    assert (await fern.get(""))["account"] == account


async def test_a_disconnected_business_is_back_by_its_consent_and_old_events_of_its_access_do_not_undo_that(
    fern: TenantApi, visitor: Visitor, shared_database: ScratchDatabase, sandbox: Sandbox
) -> None:
    assert result_of(await visitor.open(await visitor.consented((await start(fern))["url"])))["result"] == "connected"
    account = (await fern.get(""))["account"]
    now = int(time.time())
    async with working(shared_database, sandbox) as worker:
        await worker.store(about_access(GONE, account) | {"created": now + 60})
        await worker.work()
        assert (await fern.get("/lifecycle"))["state"] == "disconnected"
        earlier = (
            "update connected_accounts set disconnected_at = now() - interval '5 seconds' where stripe_account = $1"
        )
        await fern.api.sql(earlier, account)
        back = await visitor.consented((await start(fern))["url"], account=account)
        assert result_of(await visitor.open(back))["result"] == "connected"
        assert (await fern.get("/lifecycle"))["state"] == "live"
        await worker.work()
        await worker.store(about_access(GONE, account) | {"created": now - 60})
        await worker.work()
        found = await fern.get("/lifecycle")
        assert (found["state"], found["coming_back"]) == ("live", False)


async def test_an_account_whose_former_tenant_was_removed_stays_connected_to_its_next_one(
    fern: TenantApi, visitor: Visitor, shared_database: ScratchDatabase, sandbox: Sandbox
) -> None:
    old = about_access(GONE, "acct_any")
    assert result_of(await visitor.open(await visitor.consented((await start(fern))["url"])))["result"] == "connected"
    account = (await fern.get(""))["account"]
    await fern.api.sql("update tenants set stripe_account = null where public_id = $1", fern.id)
    await fern.api.sql("delete from connected_accounts where stripe_account = $1", account)
    kiln = await fern.api.tenant(name="Kiln", country=None, connect="oauth")
    back = await visitor.consented((await start(kiln))["url"], account=account)
    assert result_of(await visitor.open(back))["result"] == "connected"
    async with working(shared_database, sandbox) as worker:
        await worker.store(old | {"account": account})
        await worker.work()
    assert (await kiln.get("/lifecycle"))["state"] == "live"
    assert (await kiln.get("/readiness"))["state"] == "ready"


async def test_the_way_back_leads_to_pages_that_are_still_on_the_lists_and_keeps_their_fragment(
    fern: TenantApi, visitor: Visitor
) -> None:
    begun = await start(fern, return_url=f"{ORIGIN}/connected#done")
    reply = await visitor.open(await visitor.consented(begun["url"], "deny"))
    back = urlsplit(reply.headers["location"])
    assert (parse_qs(back.query)["result"], back.fragment) == (["denied"], "done")
    returning = await visitor.consented(begun["url"], "deny")
    assert (await fern.call("PATCH", "", {"return_origins": []})).status_code == 200
    reply = await visitor.open(returning)
    assert (reply.status_code, "location" in reply.headers) == (200, False)


async def test_no_account_comes_onto_a_tenant_that_was_put_away(fern: TenantApi, visitor: Visitor) -> None:
    begun = await start(fern)
    back = await visitor.consented(begun["url"])
    archived = await fern.call("POST", "/archive", {"reason": "Fraud"}, key=fern.api.key)
    assert archived.status_code == 200, archived.text
    assert result_of(await visitor.open(back))["result"] == "failed"
    assert (await state_of(fern, begun))[2] == "This tenant is archived: Fraud."
    shown = await visitor.open(begun["url"])
    assert (shown.status_code, "is archived." in shown.text) == (409, True)
    assert "Fraud" not in shown.text, "whoever has the link is not told why"
    assert (await fern.get(""))["account"] is None
    problem(await fern.call("POST", "/account-connections", ASKED, key=fern.api.key), 409, "tenant")


async def test_while_stripe_is_away_the_link_stays_good(fern: TenantApi, visitor: Visitor) -> None:
    begun = await start(fern)
    back = await visitor.consented(begun["url"])
    await fern.api.sandbox.fail(next=9, status=503)
    assert result_of(await visitor.open(back))["result"] == "failed"
    assert (await state_of(fern, begun))[2] == "Stripe did not answer: open the link again."
    await fern.api.sandbox.fail()
    async with running_api(fern.api.database, fern.api.sandbox, stripe_client_id="ca_1", stripe=NOWHERE) as down:
        assert (await down.call("GET", begun["url"].removeprefix(BASE_URL), key="")).status_code == 303


async def test_only_the_platform_team_begins_and_only_with_a_page_on_the_lists(fern: TenantApi) -> None:
    problem(await fern.call("POST", "/account-connections", ASKED), 403)
    for url in ("https://evil.example/", f"{ORIGIN}.evil.example/", "javascript:alert(1)", f"https://x@{ORIGIN[8:]}/"):
        reply = await fern.call("POST", "/account-connections", {"return_url": url}, key=fern.api.key)
        problem(reply, 400, "return_url")
    assert (await start(fern, return_url="https://platform.example/tenants"))["state"] == "pending"
    forged = await fern.api.call("GET", "/connect/con_1.0123456789abcdef0123456789abcdef", key="")
    assert forged.status_code == 404


async def test_beginning_is_repeated_harmlessly_and_not_shown_to_others(fern: TenantApi, api: Api) -> None:
    first, again = [
        await fern.call("POST", "/account-connections", ASKED, key=api.key, idempotency_key="a") for _ in range(2)
    ]
    assert first.json() == again.json()
    await api.sql("update account_connections set expires_at = now() where public_id = $1", first.json()["id"])
    renewed = await fern.call("POST", "/account-connections", ASKED, key=api.key, idempotency_key="a")
    assert renewed.json()["id"] != first.json()["id"]
    gone, good = [await api.call("GET", each.json()["url"].removeprefix(BASE_URL), key="") for each in (first, renewed)]
    assert (gone.status_code, good.status_code) == (404, 303)
    other = await fern.call("POST", "/account-connections", {}, key=api.key, idempotency_key="a")
    problem(other, 409, "Idempotency-Key")
    kiln = await api.tenant(name="Kiln")
    path = f"/account-connections/{first.json()['id']}"
    problem(await kiln.call("GET", path), 404, "connection")
    problem(await kiln.call("GET", path, key=fern.key), 404, "tenant")


async def test_without_a_client_id_it_is_said_what_is_missing(
    shared_database: ScratchDatabase, sandbox: Sandbox
) -> None:
    async with running_api(shared_database, sandbox) as plain:
        tenant = await plain.tenant(country=None, connect="oauth")
        reply = await tenant.call("POST", "/account-connections", ASKED, key=plain.key)
        assert "COLONNADE_STRIPE_CLIENT_ID" in problem(reply, 409)["detail"]

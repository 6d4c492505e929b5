"""OAuth: an account that exists joins a platform by consent, and leaves it."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
import stripe

from tests.sandbox.browser import Browser
from tests.sandbox.conftest import Wire, client_for, connected_account

RETURN = "https://platform.example/callback?from=stripe"


@pytest.fixture
def browser(http: aiohttp.ClientSession) -> Browser:
    return Browser(http)


async def client_id(sdk: Any) -> str:
    """The Connect application's id, as every event about it tells."""
    account = await connected_account(sdk)
    events = await sdk.events.list_async({"type": "account.application.authorized"}, {"stripe_account": account})
    return str(events.data[0].data.object.id)


async def asked(browser: Browser, wire: Wire, client: str, **more: str) -> Any:
    given = {"response_type": "code", "client_id": client, "scope": "read_write", "redirect_uri": RETURN} | more
    return await browser.get(f"{wire.url}/oauth/authorize?{urlencode(given)}")


async def answered(browser: Browser, page: Any, **fields: str) -> dict[str, str]:
    """The query of the redirect that the page's form ends in."""
    done = await browser.submit(page, page.forms[0].button, follow=False, **fields)
    assert done.status == 303
    found = urlsplit(done.headers["location"])
    assert f"{found.scheme}://{found.netloc}{found.path}" == "https://platform.example/callback"
    return {name: values[0] for name, values in parse_qs(found.query).items()}


async def code_for(browser: Browser, wire: Wire, client: str, **more: str) -> str:
    page = await asked(browser, wire, client, **more)
    return (await answered(browser, page, action="connect"))["code"]


async def redeemed(wire: Wire, code: str) -> Any:
    return await wire.post("/oauth/token", f"grant_type=authorization_code&code={code}")


async def test_a_consent_connects_a_new_account(sdk: Any, wire: Wire, browser: Browser) -> None:
    client = await client_id(sdk)
    page = await asked(browser, wire, client, state="s p&1")
    back = await answered(browser, page, action="connect", business_name="Lighthouse")
    assert (back["state"], back["scope"], back["from"]) == ("s p&1", "read_write", "stripe")
    known = len((await sdk.accounts.list_async()).data)
    reply = await redeemed(wire, back["code"])
    assert (reply.status, reply.body["token_type"], reply.body["livemode"]) == (200, "bearer", False)
    account = reply.body["stripe_user_id"]
    assert len((await sdk.accounts.list_async()).data) == known + 1
    found = await sdk.accounts.retrieve_async(account)
    assert (found.business_profile.name, found.charges_enabled) == ("Lighthouse", True)
    customer = await sdk.customers.create_async({"name": "Ann"}, {"stripe_account": account})
    own = await wire.get(f"/v1/customers/{customer.id}", Authorization=f"Bearer {reply.body['access_token']}")
    assert own.body["name"] == "Ann"
    events = await sdk.events.list_async({"type": "account.application.authorized"}, {"stripe_account": account})
    assert [(event.account, event.data.object.id) for event in events.data] == [(account, client)]
    with pytest.raises(stripe.PermissionError) as refused:
        await sdk.accounts.update_async(account, {"settings": {"branding": {"primary_color": "#ff0000"}}})
    assert refused.value.error is not None
    assert refused.value.error.code == "oauth_not_supported"


async def test_an_account_of_its_own_can_be_connected(
    sdk: Any, wire: Wire, browser: Browser, url: str, transport: stripe.AIOHTTPClient
) -> None:
    other = client_for(url, f"{wire.key}other", transport).v1
    own = await other.accounts.retrieve_current_async()
    page = await asked(browser, wire, await client_id(sdk))
    back = await answered(browser, page, action="connect", account=own.id)
    assert (await redeemed(wire, back["code"])).body["stripe_user_id"] == own.id
    assert (await sdk.customers.list_async(options={"stripe_account": own.id})).data == []
    wrong = await browser.submit(page, page.forms[0].button, action="connect", account="acct_none")
    assert wrong.status == 400


async def test_a_refusal_goes_back_with_the_state(sdk: Any, wire: Wire, browser: Browser) -> None:
    page = await asked(browser, wire, await client_id(sdk), state="abc")
    back = await answered(browser, page, action="deny")
    assert (back["error"], back["state"], "code" in back) == ("access_denied", "abc", False)


async def test_a_code_works_once_for_five_minutes_and_for_its_platform(
    sdk: Any, wire: Wire, browser: Browser, http: aiohttp.ClientSession
) -> None:
    client = await client_id(sdk)
    code = await code_for(browser, wire, client)
    stranger = Wire(http, wire.url, f"{wire.key}stranger")
    foreign = await redeemed(stranger, code)
    assert (foreign.status, foreign.body["error"]) == (400, "invalid_grant")
    assert (await redeemed(wire, code)).status == 200
    again = await redeemed(wire, code)
    assert (again.status, again.body["error"]) == (400, "invalid_grant")
    assert "already been used" in again.body["error_description"]
    late = await code_for(browser, wire, client)
    await wire.control("advance", {"seconds": 301})
    expired = await redeemed(wire, late)
    assert (expired.status, expired.body["error_description"]) == (400, f"Authorization code expired: {late}")


REFUSALS = [
    ("", 400, "invalid_request"),
    ("grant_type=password", 400, "unsupported_grant_type"),
    ("grant_type=authorization_code", 400, "invalid_request"),
    ("grant_type=authorization_code&code=ac_none", 400, "invalid_grant"),
    ("grant_type=refresh_token&refresh_token=rt_none", 400, "invalid_grant"),
    ("grant_type=authorization_code&code=x&client_secret=sk_live_x", 401, "invalid_client"),
]


@pytest.mark.parametrize(("body", "status", "error"), REFUSALS)
async def test_errors_have_oauths_form(wire: Wire, body: str, status: int, error: str) -> None:
    reply = await wire.post("/oauth/token", body)
    assert (reply.status, reply.body["error"]) == (status, error)
    assert set(reply.body) == {"error", "error_description"}


@pytest.mark.parametrize(
    "more",
    [{"client_id": "ca_none"}, {"redirect_uri": "javascript:x"}, {"response_type": "token"}, {"scope": "everything"}],
)
async def test_a_wrong_request_gets_a_page_and_no_redirect(
    sdk: Any, wire: Wire, browser: Browser, more: dict[str, str]
) -> None:
    page = await asked(browser, wire, **({"client": await client_id(sdk)} | more))
    assert page.status in (400, 401)
    assert page.forms == []


async def test_a_forged_consent_is_refused(sdk: Any, wire: Wire, browser: Browser) -> None:
    page = await asked(browser, wire, await client_id(sdk))
    assert (await browser.submit(page, page.forms[0].button, action="connect", csrf_token="0")).status == 403


async def test_leaving_ends_every_access(sdk: Any, wire: Wire, browser: Browser) -> None:
    client = await client_id(sdk)
    tokens = (await redeemed(wire, await code_for(browser, wire, client))).body
    account = tokens["stripe_user_id"]
    renewed = await wire.post("/oauth/token", f"grant_type=refresh_token&refresh_token={tokens['refresh_token']}")
    assert renewed.body["stripe_user_id"] == account
    left = await wire.post("/oauth/deauthorize", f"client_id={client}&stripe_user_id={account}")
    assert (left.status, left.body) == (200, {"stripe_user_id": account})
    for path in ("/v1/customers", "/v1/account"):
        assert (await wire.get(path, Stripe_Account=account)).error["code"] == "account_invalid"
    for token in (tokens["access_token"], renewed.body["access_token"]):
        assert (await wire.get("/v1/account", Authorization=f"Bearer {token}")).status == 401
    again = await wire.post("/oauth/token", f"grant_type=refresh_token&refresh_token={tokens['refresh_token']}")
    assert again.body["error"] == "invalid_grant"


async def test_a_read_only_token_cannot_write(sdk: Any, wire: Wire, browser: Browser) -> None:
    code = await code_for(browser, wire, await client_id(sdk), scope="read_only")
    token = (await redeemed(wire, code)).body["access_token"]
    assert (await wire.get("/v1/customers", Authorization=f"Bearer {token}")).status == 200
    refused = await wire.post("/v1/customers", "name=a", Authorization=f"Bearer {token}")
    assert refused.status == 403

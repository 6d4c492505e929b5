"""Getting back in: after a session has expired, after a restart, and by a configuration's login page."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stripe

from tests.sandbox.browser import Browser
from tests.sandbox.conftest import Wire, client_for, start
from tests.sandbox.hosted import Portal, portal

__all__ = ["portal"]

KEY = "sk_test_again"
LOGIN = {"type": "customer_login"}


async def test_an_expired_session_lets_its_customer_log_in_by_email(portal: Portal, wire: Wire) -> None:
    url = await portal.session(after_expiration=LOGIN, locale="de")
    await wire.control("advance", {"seconds": 301})
    page = await portal.browser.get(url)
    assert page.url == f"{url}/login"
    assert "Aurora" in page.text
    sent = await portal.browser.submit(page, "Send link", email=" ANN@example.com ")
    assert "sends no mail" in sent.text
    fresh = await portal.browser.follow(sent, "Continue")
    assert (fresh.status, fresh.url.rpartition("/")[0]) == (200, url.rpartition("/")[0])
    assert fresh.url != url
    (event, _) = (await portal.sdk.events.list_async({"type": "billing_portal.session.created"})).data
    renewed = event.data.object
    assert (renewed.configuration, renewed.on_behalf_of) == (portal.configuration, portal.shop.account)
    assert (renewed.locale, renewed.after_expiration.type) == ("de", "customer_login")


async def test_another_address_gets_no_session(portal: Portal, wire: Wire) -> None:
    url = await portal.session(after_expiration=LOGIN)
    await wire.control("advance", {"seconds": 301})
    asked = await portal.browser.get(url)
    for address in ("eve@example.com", ""):
        sent = await portal.browser.submit(asked, "Send link", email=address)
        assert not sent.offers("Continue")
    assert (await portal.browser.submit(asked, "Send link", email="ann@example.com", csrf_token="x")).status == 403
    assert len((await portal.sdk.events.list_async({"type": "billing_portal.session.created"})).data) == 1


async def test_the_login_ends_at_its_deadline_and_with_the_connection(portal: Portal, wire: Wire) -> None:
    now = (await (await wire.session.get(f"{wire.url}/_sandbox/health")).json())["now"]
    login = LOGIN | {"customer_login": {"expires_at": now + 1000}}
    url = await portal.session(after_expiration=login)
    await wire.control("advance", {"seconds": 1001})
    assert (await portal.browser.get(url)).status == 410
    assert (await portal.browser.get(f"{url}/login")).status == 404
    plain = await portal.session()
    assert (await portal.browser.get(f"{plain}/login")).status == 404


async def test_the_login_page_of_a_configuration_finds_a_customer_by_address(portal: Portal) -> None:
    update = portal.sdk.billing_portal.configurations.update_async
    url = (await update(portal.configuration, {"login_page": {"enabled": True}})).login_page.url
    page = await portal.browser.get(url)
    assert not (await portal.browser.submit(page, "Send link", email="eve@example.com")).offers("Continue")
    sent = await portal.browser.submit(page, "Send link", email="ann@example.com")
    home = await portal.browser.follow(sent, "Continue")
    assert "Current subscription" in home.text
    await update(portal.configuration, {"login_page": {"enabled": False}})
    assert (await portal.browser.get(url)).status == 404


@pytest.mark.slow
async def test_a_form_that_was_open_over_a_restart_still_counts(
    http: aiohttp.ClientSession, transport: stripe.AIOHTTPClient, database: Path
) -> None:
    first = start("--data", str(database))
    sdk: Any = client_for(first.url, KEY, transport).v1
    customer = (await sdk.customers.create_async({"email": "ann@example.com"})).id
    feature = {"customer_update": {"enabled": True, "allowed_updates": ["name"]}}
    configuration = (await sdk.billing_portal.configurations.create_async({"features": feature})).id
    session = {"customer": customer, "configuration": configuration}
    page = await Browser(http).get((await sdk.billing_portal.sessions.create_async(session)).url)
    asked = await Browser(http).follow(page, "Update information")
    port = first.url.rpartition(":")[2]
    first.stop()
    second = start("--data", str(database), "--port", port)
    try:
        async with aiohttp.ClientSession() as fresh:
            await Browser(fresh).submit(asked, "Save", name="Ann Again")
        assert (await sdk.customers.retrieve_async(customer)).name == "Ann Again"
    finally:
        second.stop()

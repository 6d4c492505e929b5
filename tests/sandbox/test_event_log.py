"""The page of events, and its button that delivers one again."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.sandbox.browser import Browser, Page
from tests.sandbox.conftest import Receiver, Wire, connected_account


@pytest.fixture
def browser(http: aiohttp.ClientSession) -> Browser:
    return Browser(http)


async def test_an_event_is_delivered_again_by_its_button(
    wire: Wire, sdk: Any, receivers: Any, browser: Browser
) -> None:
    receiver: Receiver = await receivers()
    await wire.post("/v1/webhook_endpoints", f"url={receiver.url}&enabled_events[]=customer.created&connect=true")
    account = await connected_account(sdk)
    await sdk.customers.create_async({"name": "theirs"}, {"stripe_account": account})
    (first,) = await receiver.wait_for(1)
    page = await shown(browser, f"{wire.url}/_sandbox/events?account={account}&type=customer.", receiver.url)
    assert "customer.created" in page.text
    assert "account.updated" not in page.text
    page = await browser.submit(page, "Deliver again")
    assert "Delivering again to 1 endpoints." in page.text
    assert (await receiver.wait_for(2))[1].event["id"] == first.event["id"]


async def shown(browser: Browser, url: str, text: str) -> Page:
    """The page once it tells of a delivery, which is noted a moment after its answer."""
    async with asyncio.timeout(5):
        while text not in (page := await browser.get(url)).text:
            await asyncio.sleep(0.02)
    return page


async def test_a_form_from_elsewhere_delivers_nothing(wire: Wire, sdk: Any, browser: Browser) -> None:
    await sdk.customers.create_async({"name": "Ann"})
    (event,) = (await wire.get("/v1/events?type=customer.created")).body["data"]
    for token in ({}, {"csrf_token": "0" * 64}):
        refused = await browser.send("POST", f"{wire.url}/_sandbox/events", {"event": event["id"], **token})
        assert refused.status == 403


async def test_every_control_of_the_page_has_a_label(wire: Wire, sdk: Any, browser: Browser) -> None:
    await sdk.customers.create_async({"name": "<script>alert(1)</script>"})
    page = await browser.get(f'{wire.url}/_sandbox/events?type="><script>')
    assert 'for="type"' in page.html
    assert 'for="account"' in page.html
    assert "<script" not in page.html

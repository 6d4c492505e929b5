"""The hosted onboarding page behind an account link."""

from typing import Any

import aiohttp
import pytest

from tests.sandbox.browser import Browser
from tests.sandbox.conftest import Wire, connected_account

RETURN, REFRESH = "https://platform.example/return", "https://platform.example/refresh"


@pytest.fixture
def browser(http: aiohttp.ClientSession) -> Browser:
    return Browser(http)


async def link_for(sdk: Any, account: str, **others: Any) -> str:
    given = others | {"account": account, "type": "account_onboarding", "return_url": RETURN, "refresh_url": REFRESH}
    return str((await sdk.account_links.create_async(given)).url)


async def test_one_button_completes_what_is_due_and_leads_back(sdk: Any, browser: Browser) -> None:
    account = await connected_account(sdk)
    assert (await sdk.accounts.retrieve_async(account)).requirements.currently_due
    page = await browser.get(await link_for(sdk, account))
    assert "A bank account for your payouts" in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    done = await browser.submit(page, page.forms[0].button, follow=False)
    assert (done.status, done.headers["location"]) == (303, RETURN)
    found = await sdk.accounts.retrieve_async(account)
    assert (found.charges_enabled, found.details_submitted, list(found.requirements.currently_due)) == (True, True, [])
    events = await sdk.events.list_async({"type": "account.updated"}, {"stripe_account": account})
    assert events.data[0].data.object.charges_enabled is True


async def test_what_the_account_has_told_stays(sdk: Any, browser: Browser) -> None:
    account = await connected_account(sdk)
    told = {"business_type": "individual", "business_profile": {"url": "https://aurora.example"}}
    await sdk.accounts.update_async(account, told)
    page = await browser.get(await link_for(sdk, account))
    assert "The website of your business" not in page.text
    await browser.submit(page, page.forms[0].button, follow=False)
    found = await sdk.accounts.retrieve_async(account)
    assert (found.business_type, found.business_profile.url) == ("individual", "https://aurora.example")
    assert found.charges_enabled


async def test_returning_does_not_mean_done(sdk: Any, browser: Browser) -> None:
    account = await connected_account(sdk)
    page = await browser.get(await link_for(sdk, account))
    assert page.link("Finish later") == RETURN
    assert not (await sdk.accounts.retrieve_async(account)).details_submitted


async def test_a_spent_or_expired_link_leads_to_refresh(sdk: Any, browser: Browser, wire: Wire) -> None:
    account = await connected_account(sdk)
    link = await link_for(sdk, account)
    page = await browser.get(link)
    again = await browser.get(link, follow=False)
    assert (again.status, again.headers["location"]) == (303, REFRESH)
    await browser.submit(page, page.forms[0].button, follow=False)
    used = await browser.submit(page, page.forms[0].button, follow=False)
    assert (used.status, used.headers["location"]) == (303, REFRESH)
    late = await link_for(sdk, account)
    await wire.control("advance", {"seconds": 301})
    assert (await browser.get(late, follow=False)).headers["location"] == REFRESH
    assert (await browser.get(link + "x")).status == 404


async def test_a_forged_form_completes_nothing(sdk: Any, browser: Browser) -> None:
    account = await connected_account(sdk)
    page = await browser.get(await link_for(sdk, account))
    assert (await browser.submit(page, page.forms[0].button, csrf_token="0")).status == 403
    assert not (await sdk.accounts.retrieve_async(account)).details_submitted


async def test_an_account_that_left_cannot_be_completed(sdk: Any, browser: Browser) -> None:
    account = await connected_account(sdk)
    page = await browser.get(await link_for(sdk, account))
    await sdk.accounts.delete_async(account)
    assert (await browser.submit(page, page.forms[0].button)).status == 410


async def test_names_are_shown_as_text(sdk: Any, browser: Browser) -> None:
    account = await connected_account(sdk)
    await sdk.accounts.update_async(account, {"business_profile": {"name": "<script>alert(1)</script>"}})
    page = await browser.get(await link_for(sdk, account))
    assert "script" not in page.tags
    assert "&lt;script&gt;" in page.html


@pytest.mark.parametrize(
    ("options", "asked"),
    [({}, False), ({"fields": "eventually_due"}, False), ({"future_requirements": "include"}, True)],
)
async def test_a_link_collects_what_it_is_told_to(
    sdk: Any, browser: Browser, wire: Wire, options: dict[str, str], asked: bool
) -> None:
    account = await connected_account(sdk)
    await wire.control("account_states", {"account": account, "state": "enabled"})
    await wire.control("account_states", {"account": account, "state": "future"})
    due = list((await sdk.accounts.retrieve_async(account)).future_requirements.currently_due)
    assert due
    page = await browser.get(await link_for(sdk, account, collection_options=options))
    assert ("Everything we need is complete" in page.text) is not asked
    await browser.submit(page, page.forms[0].button, follow=False)
    left = (await sdk.accounts.retrieve_async(account)).future_requirements.currently_due
    assert list(left) == ([] if asked else due)

"""Customers in a real browser: each tenant's own brand, and what a click in the portal does to entitlements.

`COLONNADE_REQUIRE_BROWSER=1` makes a missing Chromium a failure instead of a skip.
"""

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.end_to_end.demo import Demo, until

pytestmark = pytest.mark.slow

FERN, KILN = 0, 1
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        reason = "Chromium is not installed"
        if os.environ.get("COLONNADE_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    yield opened
    opened.close()


def _visit(page: Page, demo: Demo, path: str) -> None:
    """From the tenant's page into the portal, as a customer does."""
    page.goto(f"{demo.said['site_url']}/{path}")
    page.get_by_role("button", name="Manage billing").click()
    page.wait_for_url(re.compile(r"/p/session/"))


def _portal(page: Page, demo: Demo, tenant: int, reference: str, **wanted: Any) -> None:
    """Into the portal by a session that the tenant's backend made."""
    answer = demo.api("POST", f"/customers/{reference}/portal-sessions", wanted, tenant=tenant)
    assert answer.status == 201, answer.content
    page.goto(answer.json["url"])


def _brand(page: Page) -> str:
    """The colour behind the portal's heading."""
    script = """() => {
        let node = document.querySelector('h1');
        while (node && getComputedStyle(node).backgroundColor === 'rgba(0, 0, 0, 0)') node = node.parentElement;
        return getComputedStyle(node).backgroundColor;
    }"""
    return str(page.evaluate(script))


def test_each_tenant_has_its_own_brand_and_shows_only_its_own_subscriptions(page: Page, demo: Demo) -> None:
    _visit(page, demo, "fern-and-field/ben")
    expect(page.get_by_text("Return to Fern & Field")).to_be_visible()
    expect(page.get_by_text("Orchard")).to_be_visible()
    expect(page.locator("body")).not_to_contain_text("Kiln Street")
    assert _brand(page) == "rgb(31, 111, 67)"
    _visit(page, demo, "kiln-street/dov")
    expect(page.get_by_text("Return to Kiln Street Studio")).to_be_visible()
    expect(page.get_by_text("Resident")).to_be_visible()
    expect(page.locator("body")).not_to_contain_text("Fern & Field")
    assert _brand(page) == "rgb(138, 51, 36)"


def test_a_subscription_on_behalf_of_another_tenant_stays_out_of_sight(page: Page, demo: Demo) -> None:
    demo.new_customer(FERN, "shared", plan=0)
    customer = demo.api("GET", "/customers/shared", tenant=FERN).json["stripe_customer"]
    other = demo.tenant(KILN)
    price = other["plans"][1]["price"]
    form = f"customer={customer}&items[0][price]={price}&on_behalf_of={other['account']}"
    hidden = demo.stripe("POST", "/v1/subscriptions", form)["id"]
    _portal(page, demo, FERN, "shared")
    expect(page.get_by_text("Seedling")).to_be_visible()
    expect(page.locator("body")).not_to_contain_text("Resident")
    assert hidden not in page.content()


def test_cancelling_at_period_end_keeps_the_plan_until_then(page: Page, demo: Demo) -> None:
    subscription = demo.new_customer(FERN, "clicks-cancel")
    until(lambda: demo.entitlements(FERN, "clicks-cancel"))
    _portal(page, demo, FERN, "clicks-cancel")
    page.get_by_role("link", name="Cancel plan").or_(page.get_by_role("button", name="Cancel plan")).first.click()
    page.get_by_role("button", name="Cancel plan").click()
    expect(page.locator("body")).to_contain_text(re.compile("cancel|end", re.IGNORECASE))
    cancelled = demo.stripe("GET", f"/v1/subscriptions/{subscription}")
    # In flexible billing mode the portal sets the date alone.
    assert (cancelled["status"], cancelled["cancel_at_period_end"]) == ("active", False)
    assert cancelled["cancel_at"] == cancelled["items"]["data"][0]["current_period_end"]

    def ends() -> list[str]:
        rows = demo.api("GET", "/customers/clicks-cancel/entitlements", tenant=FERN).json["data"]
        return [row["valid_until"] for row in rows if row["granted"] and row["valid_until"]]

    assert len(until(ends, seconds=5)) == 3
    _portal(page, demo, FERN, "clicks-cancel")
    keep = re.compile("Don.t cancel")
    page.get_by_role("link", name=keep).or_(page.get_by_role("button", name=keep)).first.click()
    confirm = page.get_by_role("button", name=keep)
    if confirm.count():
        confirm.first.click()
    until(lambda: not ends(), seconds=5)
    assert demo.entitlements(FERN, "clicks-cancel") == {"plant-library": True, "beds": 3, "gardeners": 1}


def test_cancelling_at_once_takes_the_plan_away(page: Page, demo: Demo) -> None:
    demo.new_customer(KILN, "clicks-end", plan=1)
    until(lambda: demo.entitlements(KILN, "clicks-end"))
    _portal(page, demo, KILN, "clicks-end")
    page.get_by_role("link", name="Cancel plan").or_(page.get_by_role("button", name="Cancel plan")).first.click()
    page.get_by_role("button", name="Cancel plan").click()
    until(lambda: demo.entitlements(KILN, "clicks-end") == {}, seconds=5)


def test_switching_the_plan_changes_the_tenants_page_within_two_seconds(page: Page, demo: Demo) -> None:
    _visit(page, demo, "kiln-street/cleo")
    page.get_by_role("link", name="Update plan").or_(page.get_by_role("button", name="Update plan")).first.click()
    page.get_by_role("radio", name=re.compile("Resident")).check()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_load_state()
    page.goto(f"{demo.said['site_url']}/kiln-street/cleo")
    expect(page.get_by_role("row", name=re.compile("Night access yes"))).to_be_visible(timeout=2000)
    expect(page.get_by_role("row", name=re.compile("Firings a month 12"))).to_be_visible(timeout=2000)


def test_an_open_page_hears_what_happens_to_its_customer_alone(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.said['site_url']}/fern-and-field/ben")
    expect(page.locator("#news")).to_contain_text("Frost alerts: yes")
    (ben,) = (each for each in demo.tenant(FERN)["customers"] if each["reference"] == "ben")
    item = demo.stripe("GET", f"/v1/subscriptions/{ben['subscription']}")["items"]["data"][0]["id"]
    demo.new_customer(FERN, "somebody-else", quantity=9)
    demo.stripe("POST", f"/v1/subscriptions/{ben['subscription']}", f"items[0][id]={item}&items[0][quantity]=4")
    expect(page.locator("#news li").first).to_contain_text("Gardeners: 4")
    expect(page.get_by_role("row", name=re.compile("Gardeners 4"))).to_be_visible()
    expect(page.locator("#news")).not_to_contain_text("Gardeners: 9")


def test_a_portal_without_cancellation_offers_none(page: Page, demo: Demo) -> None:
    _portal(page, demo, FERN, "ben", configuration="billing-only")
    expect(page.get_by_text("Orchard")).to_be_visible()
    expect(page.locator("main")).not_to_contain_text("Cancel plan")
    expect(page.locator("main")).not_to_contain_text("Update plan")


def test_the_api_reference_needs_no_other_host(page: Page, demo: Demo) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{demo.url}/docs")
    expect(page.get_by_text("/v1/tenants/{tenant}/branding").first).to_be_visible()
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {demo.url.split("/")[2]}

"""What the portal shows, to whom, and how."""

from typing import Any

import aiohttp

from tests.sandbox.browser import Browser
from tests.sandbox.conftest import Shop, catalogue, customer_with_card
from tests.sandbox.hosted import Portal, everything, portal

__all__ = ["portal"]


async def test_the_page_shows_plan_price_renewal_card_and_invoice(portal: Portal) -> None:
    page = await portal.open()
    invoice = (await portal.sdk.invoices.list_async({"customer": portal.shop.customer})).data[0]
    assert page.status == 200
    for words in ("Gold", "$10.00 per month", "Your plan renews on", "Visa •••• 4242", "ann@example.com", "Test mode"):
        assert words in page.text
    assert "Return to Aurora" in page.text
    assert page.link("← Return to Aurora") == "https://shop.example/account"
    opened = await portal.browser.follow(page, next(text for text in page.links if invoice.number in text))
    assert f"Invoice {invoice.number}" in opened.text
    assert opened.text.count("$10.00") == 3
    public = await portal.browser.get(invoice.hosted_invoice_url)
    assert (public.status, "Gold" in public.text) == (200, True)


async def test_pages_are_not_stored_framed_or_scripted(portal: Portal) -> None:
    page = await portal.open()
    policy = page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-content-type-options"] == "nosniff"
    for rule in ("default-src 'self'", "script-src 'none'", "frame-ancestors 'none'", "form-action 'self';"):
        assert rule in policy
    assert "script" not in page.tags
    assert "style=" not in page.html


async def test_the_page_has_landmarks_headings_and_labels(portal: Portal) -> None:
    page = await portal.open()
    assert [page.tags.count(tag) for tag in ("main", "header", "footer", "h1")] == [1, 1, 1, 1]
    assert 'lang="en"' in page.html
    form = await portal.browser.follow(page, "Update information")
    for name in form.form("Save").fields.keys() - {"csrf_token"}:
        assert f'<label for="{name}">' in form.html


async def test_with_direct_charges_the_portal_is_the_connected_accounts_own(
    sdk: Any, http: aiohttp.ClientSession, shop: Shop
) -> None:
    there = {"stripe_account": shop.account}
    product, monthly, yearly = await catalogue(sdk, there)
    customer = await customer_with_card(sdk, options=there)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": monthly}]}, there)
    own = Shop(shop.account, product, monthly, yearly, customer)
    configuration = await sdk.billing_portal.configurations.create_async({"features": everything(own)}, there)
    session = await sdk.billing_portal.sessions.create_async(
        {"customer": customer, "configuration": configuration.id}, there
    )
    browser = Browser(http)
    page = await browser.get(session.url)
    assert "Aurora" in page.text
    assert not page.offers("← Return")
    await browser.submit(await browser.follow(page, "Cancel plan"), "Cancel plan")
    assert (await sdk.subscriptions.retrieve_async(subscription.id, None, there)).cancel_at
    event = (await sdk.events.list_async({"type": "customer.subscription.updated"}, there)).data[0]
    assert event.account == shop.account


async def test_names_from_outside_are_shown_as_text(portal: Portal) -> None:
    evil = "<script>alert(1)</script>"
    shop = portal.shop
    await portal.sdk.customers.update_async(shop.customer, {"name": f"Ann {evil}"})
    await portal.sdk.products.update_async(shop.product, {"name": f"Gold {evil}", "description": evil})
    profile = {"name": f"Aurora {evil}", "support_url": "javascript:alert(1)"}
    await portal.sdk.accounts.update_async(shop.account, {"business_profile": profile})
    await portal.sdk.billing_portal.configurations.update_async(
        portal.configuration, {"business_profile": {"headline": evil}}
    )
    page = await portal.open()
    pages = [page]
    for words in ("Update plan", "Cancel plan", "Update information", "+ Add payment method"):
        pages.append(await portal.browser.follow(page, words))
    for each in pages:
        assert "script" not in each.tags
        assert "&lt;script&gt;" in each.html
        assert not any(url.startswith("javascript:") for url in each.links.values())

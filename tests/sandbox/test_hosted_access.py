"""What a visitor of the portal cannot reach: features that are off, others' objects, forged forms, old links."""

import pytest

from tests.sandbox.conftest import Wire, connected_account, customer_with_card
from tests.sandbox.hosted import OFF, Portal, portal, subscribe

__all__ = ["portal"]


@pytest.mark.parametrize(
    ("feature", "words", "path", "fields"),
    [
        ("subscription_cancel", "Cancel plan", "subscriptions/{}/cancel", {}),
        ("subscription_cancel", "Don't cancel plan", "subscriptions/{}/keep", {}),
        ("subscription_update", "Update plan", "subscriptions/{}/update", {"quantity": "2"}),
        ("payment_method_update", "+ Add payment method", "payment-methods", {"card": "visa"}),
        ("customer_update", "Update information", "customer", {"name": "Eve"}),
    ],
)
async def test_a_feature_that_is_off_is_hidden_and_refused(
    portal: Portal, feature: str, words: str, path: str, fields: dict[str, str]
) -> None:
    if words.startswith("Don't"):
        await portal.sdk.subscriptions.update_async(portal.subscription, {"cancel_at_period_end": True})
    page = await portal.open()
    assert page.offers(words)
    # The session is the same: a change of the configuration counts at once.
    await portal.configure(**{feature: OFF[feature]})
    before = len(await portal.events())
    assert not (await portal.browser.get(page.url)).offers(words)
    assert (await portal.post(page, path.format(portal.subscription), **fields)).status == 403
    assert len(await portal.events()) == before


async def test_hidden_invoices_cannot_be_opened(portal: Portal) -> None:
    page = await portal.open()
    invoice = next(url for url in page.links.values() if "/invoices/" in url)
    await portal.configure(invoice_history=OFF["invoice_history"])
    assert "Invoice history" not in (await portal.browser.get(page.url)).text
    assert (await portal.browser.get(page.url.partition("/p/")[0] + invoice)).status == 403


@pytest.mark.parametrize("token", [None, "", "0" * 64, "ü"])
async def test_a_form_without_the_sessions_token_is_refused(portal: Portal, token: str | None) -> None:
    asked = await portal.browser.follow(await portal.open(), "Cancel plan")
    page = await portal.browser.submit(asked, "Cancel plan", csrf_token=token)
    assert page.status == 403
    assert (await portal.current()).cancel_at is None


async def test_a_form_token_of_another_session_is_refused(portal: Portal) -> None:
    one, other = await portal.open(), await portal.open()
    other_token = (await portal.browser.follow(other, "Cancel plan")).form("Cancel plan").fields["csrf_token"]
    asked = await portal.browser.follow(one, "Cancel plan")
    assert (await portal.browser.submit(asked, "Cancel plan", csrf_token=other_token)).status == 403


async def test_another_sellers_subscription_of_the_same_customer_is_out_of_reach(portal: Portal) -> None:
    rival = await connected_account(portal.sdk)
    foreign = await subscribe(
        portal.sdk,
        portal.shop,
        items=[{"price": portal.shop.yearly}],
        on_behalf_of=rival,
        transfer_data={"destination": rival},
    )
    unsold = await subscribe(
        portal.sdk, portal.shop, items=[{"price": portal.shop.yearly}], on_behalf_of=None, transfer_data=None
    )
    page = await portal.open()
    assert "$90.00" not in page.text
    for key in (foreign.id, unsold.id, "sub_unknown"):
        base = f"subscriptions/{key}"
        assert (await portal.browser.get(f"{page.url}/{base}/cancel")).status == 404
        for action in ("cancel", "keep", "update"):
            assert (await portal.post(page, f"{base}/{action}", quantity="2")).status == 404
    invoice = (await portal.sdk.invoices.list_async({"subscription": foreign.id})).data[0]
    assert (await portal.browser.get(f"{page.url}/invoices/{invoice.id}")).status == 404
    assert (await portal.sdk.subscriptions.retrieve_async(foreign.id)).cancel_at is None


async def test_another_customers_objects_are_out_of_reach(portal: Portal) -> None:
    stranger = await customer_with_card(portal.sdk)
    other = await subscribe(portal.sdk, portal.shop, customer=stranger)
    method = (await portal.sdk.payment_methods.list_async({"customer": stranger})).data[0].id
    page = await portal.open()
    assert (await portal.post(page, f"subscriptions/{other.id}/cancel")).status == 404
    assert (await portal.post(page, f"payment-methods/{method}/remove")).status == 404
    assert (await portal.post(page, f"payment-methods/{method}/default")).status == 404
    assert (await portal.browser.get(f"{page.url}/invoices/{other.latest_invoice}")).status == 404


async def test_an_unknown_link_and_an_expired_one_say_so_without_details(portal: Portal, wire: Wire) -> None:
    url = await portal.session()
    unknown = await portal.browser.get(url + "x")
    assert (unknown.status, "This link is not valid." in unknown.text) == (404, True)
    asked = await portal.browser.follow(await portal.browser.get(url), "Cancel plan")
    unused = await portal.session()
    await wire.control("advance", {"seconds": 301})
    expired = await portal.browser.get(unused)
    assert (expired.status, "This link has expired" in expired.text) == (410, True)
    assert "Aurora" not in expired.html
    assert (await portal.browser.get(url)).status == 200
    await wire.control("advance", {"seconds": 3601})
    assert (await portal.browser.get(url)).status == 410
    assert (await portal.browser.submit(asked, "Cancel plan")).status == 410
    assert (await portal.current()).cancel_at is None


async def test_a_seller_that_left_the_platform_ends_its_portals(portal: Portal) -> None:
    page = await portal.open()
    await portal.sdk.accounts.delete_async(portal.shop.account)
    assert (await portal.browser.get(page.url)).status == 410


async def test_wrong_methods_and_paths_are_answered_as_pages(portal: Portal) -> None:
    page = await portal.open()
    assert (await portal.post(page, "home")).status == 405
    assert (await portal.browser.get(f"{page.url}/subscriptions/{portal.subscription}/keep")).status == 405
    assert (await portal.browser.get(f"{page.url}/nothing")).status == 404

"""Payment methods and billing information in the portal."""

import pytest

from tests.sandbox.hosted import Portal, portal

__all__ = ["portal"]


async def test_payment_methods_are_added_made_default_and_removed(portal: Portal) -> None:
    customer = portal.shop.customer
    page = await portal.open()
    assert not page.offers("Remove")
    before = len(await portal.events())
    page = await portal.browser.submit(
        await portal.browser.follow(page, "+ Add payment method"), "Add", card="mastercard"
    )
    assert "Mastercard •••• 4444 Default" in page.text
    assert [e.type for e in await portal.events(before)] == ["payment_method.attached", "customer.updated"]
    default = (await portal.sdk.customers.retrieve_async(customer)).invoice_settings.default_payment_method
    assert (await portal.post(page, f"payment-methods/{default}/remove")).status == 409
    page = await portal.browser.submit(page, "Make default Visa •••• 4242")
    page = await portal.browser.submit(page, "Remove Mastercard •••• 4444")
    assert "Your payment method has been removed." in page.text
    assert len((await portal.sdk.payment_methods.list_async({"customer": customer})).data) == 1


async def test_a_declined_card_is_told_and_not_kept(portal: Portal) -> None:
    form = await portal.browser.follow(await portal.open(), "+ Add payment method")
    page = await portal.browser.submit(form, "Add", card="chargeDeclined")
    assert (page.status, "Your card was declined." in page.text) == (402, True)
    page = await portal.browser.submit(form, "Add", card="pm_1forged")
    assert (page.status, "Choose one of the test cards." in page.text) == (400, True)
    assert len((await portal.sdk.payment_methods.list_async({"customer": portal.shop.customer})).data) == 1


async def test_billing_information_is_saved_as_far_as_allowed(portal: Portal) -> None:
    form = await portal.browser.follow(await portal.open(), "Update information")
    fields = {"name": "Ada", "address_line1": "1 High St", "address_country": "GB", "shipping_name": "Bob"}
    before = len(await portal.events())
    page = await portal.browser.submit(form, "Save", **fields)
    assert "Your billing information has been updated." in page.text
    customer = await portal.sdk.customers.retrieve_async(portal.shop.customer)
    assert (customer.name, customer.address.line1, customer.address.country) == ("Ada", "1 High St", "GB")
    assert (customer.shipping.name, customer.email) == ("Bob", "ann@example.com")
    assert [event.type for event in await portal.events(before)] == ["customer.updated"]
    refused = await portal.post(page, "customer", name="Eve", phone="1")
    assert refused.status == 403
    assert (await portal.sdk.customers.retrieve_async(portal.shop.customer)).name == "Ada"


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("email", "nobody", "Enter an email address"),
        ("address_country", "XX", "Choose a country."),
        ("name", "x" * 501, "At most 500 characters."),
        ("shipping_city", "Bern", "Enter who receives the shipment."),
    ],
)
async def test_wrong_billing_information_is_told_beside_its_field(
    portal: Portal, field: str, value: str, words: str
) -> None:
    form = await portal.browser.follow(await portal.open(), "Update information")
    page = await portal.browser.submit(form, "Save", **{field: value})
    assert (page.status, words in page.text, 'aria-invalid="true"' in page.html) == (400, True, True)
    assert (await portal.sdk.customers.retrieve_async(portal.shop.customer)).email == "ann@example.com"

"""The hosted portal page: what it shows, what it lets one do, what it refuses."""

from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.sandbox.browser import Browser, Page
from tests.sandbox.conftest import Shop, Wire, connected_account, customer_with_card

OFF: dict[str, Any] = {
    "customer_update": {"enabled": False, "allowed_updates": ""},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False},
    "subscription_cancel": {"enabled": False},
    "subscription_update": {"enabled": False, "default_allowed_updates": "", "products": ""},
}


@dataclass
class Portal:
    """One customer of one seller, with a subscription, and the portal over them."""

    sdk: Any
    browser: Browser
    shop: Shop
    subscription: str
    item: str
    configuration: str

    async def configure(self, **features: Any) -> None:
        await self.sdk.billing_portal.configurations.update_async(self.configuration, {"features": features})

    async def session(self, **others: Any) -> str:
        given = {
            "customer": self.shop.customer,
            "configuration": self.configuration,
            "on_behalf_of": self.shop.account,
            "return_url": "https://shop.example/account",
        }
        return str((await self.sdk.billing_portal.sessions.create_async(given | others)).url)

    async def open(self, **others: Any) -> Page:
        return await self.browser.get(await self.session(**others))

    async def token(self, page: Page) -> str:
        """The form token of the page's session, from a page that has a form."""
        base = page.url.partition("/home")[0]
        for each in (page, *[await self.browser.get(f"{base}/{path}") for path in ("customer", "payment-methods/new")]):
            for form in each.forms:
                if "csrf_token" in form.fields:
                    return form.fields["csrf_token"]
        raise AssertionError("no page with a form")

    async def post(self, page: Page, path: str, **fields: str) -> Page:
        """What a forger with a valid form token would send."""
        base = page.url.partition("/home")[0]
        values = {"csrf_token": await self.token(page)} | fields
        return await self.browser.send("POST", f"{base}/{path}", values, follow=False)

    async def current(self) -> Any:
        return await self.sdk.subscriptions.retrieve_async(self.subscription)

    async def events(self, since: int = 0) -> list[Any]:
        """All events of the account after the first `since`, oldest first."""
        page = await self.sdk.events.list_async({"limit": 100})
        return list(reversed(page.data))[since:]


def everything(shop: Shop) -> dict[str, Any]:
    product = {
        "product": shop.product,
        "prices": [shop.monthly, shop.yearly],
        "adjustable_quantity": {"enabled": True, "minimum": 1, "maximum": 5},
    }
    return {
        "customer_update": {"enabled": True, "allowed_updates": ["name", "email", "address", "shipping"]},
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {
            "enabled": True,
            "mode": "at_period_end",
            "cancellation_reason": {"enabled": True, "options": ["too_expensive", "unused"]},
        },
        "subscription_update": {
            "enabled": True,
            "default_allowed_updates": ["price", "quantity"],
            "products": [product],
        },
    }


async def subscribe(sdk: Any, shop: Shop, **others: Any) -> Any:
    given = {
        "customer": shop.customer,
        "items": [{"price": shop.monthly}],
        "on_behalf_of": shop.account,
        "transfer_data": {"destination": shop.account},
    }
    return await sdk.subscriptions.create_async({n: v for n, v in (given | others).items() if v is not None})


@pytest.fixture
async def portal(sdk: Any, http: aiohttp.ClientSession, shop: Shop) -> Portal:
    configuration = await sdk.billing_portal.configurations.create_async({"features": everything(shop)})
    subscription = await subscribe(sdk, shop)
    item = subscription["items"].data[0].id
    return Portal(sdk, Browser(http), shop, subscription.id, item, configuration.id)


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


async def test_canceling_in_the_portal_sets_cancel_at_alone_and_records_the_reason(portal: Portal) -> None:
    before = len(await portal.events())
    asked = await portal.browser.follow(await portal.open(), "Cancel plan")
    page = await portal.browser.submit(asked, "Cancel plan", feedback="unused", comment=" too quiet ")
    subscription = await portal.current()
    end = subscription["items"].data[0].current_period_end
    assert "Your subscription will be canceled." in page.text
    assert (subscription.status, subscription.cancel_at, subscription.cancel_at_period_end) == ("active", end, False)
    details = subscription.cancellation_details
    assert (details.reason, details.feedback, details.comment) == ("cancellation_requested", "unused", "too quiet")
    (event,) = [e for e in await portal.events(before) if e.type.startswith("customer.subscription")]
    assert event.type == "customer.subscription.updated"
    assert event.data.previous_attributes["cancel_at"] is None
    assert (event.request.id, event.request.idempotency_key) == (None, None)
    assert not page.offers("Cancel plan")
    assert not page.offers("Update plan")


async def test_canceling_a_classic_subscription_sets_the_flag_as_well(portal: Portal) -> None:
    classic = await subscribe(portal.sdk, portal.shop, billing_mode={"type": "classic"})
    page = await portal.open()
    asked = await portal.browser.get(f"{page.url}/subscriptions/{classic.id}/cancel")
    await portal.browser.submit(asked, "Cancel plan")
    subscription = await portal.sdk.subscriptions.retrieve_async(classic.id)
    assert subscription.cancel_at_period_end is True
    assert subscription.cancel_at == subscription["items"].data[0].current_period_end


async def test_keeping_a_plan_clears_the_cancellation(portal: Portal) -> None:
    page = await portal.browser.submit(
        await portal.browser.follow(await portal.open(), "Cancel plan"), "Cancel plan", feedback="unused"
    )
    page = await portal.browser.submit(page, "Don't cancel plan")
    subscription = await portal.current()
    assert "Your subscription will continue." in page.text
    assert (subscription.cancel_at, subscription.canceled_at, subscription.cancel_at_period_end) == (None, None, False)
    assert subscription.cancellation_details.reason is None
    assert (await portal.post(page, f"subscriptions/{portal.subscription}/keep")).status == 409


async def test_canceling_immediately_sends_the_deleted_event_only(portal: Portal) -> None:
    await portal.configure(subscription_cancel={"enabled": True, "mode": "immediately"})
    before = len(await portal.events())
    asked = await portal.browser.follow(await portal.open(), "Cancel plan")
    assert "ends now" in asked.text
    page = await portal.browser.submit(asked, "Cancel plan")
    assert "You have no active subscriptions." in page.text
    assert (await portal.current()).status == "canceled"
    types = [event.type for event in await portal.events(before)]
    assert [name for name in types if name.startswith("customer.subscription")] == ["customer.subscription.deleted"]


async def test_switching_the_plan_changes_price_as_the_api_does(portal: Portal) -> None:
    choose = await portal.browser.follow(await portal.open(), "Update plan")
    assert "$90.00 per year" in choose.text
    confirm = await portal.browser.submit(choose, "Continue", price=portal.shop.yearly, quantity="2")
    assert "$180.00 per year" in confirm.text
    before = len(await portal.events())
    page = await portal.browser.submit(confirm, "Confirm")
    assert "Your subscription has been updated." in page.text
    item = (await portal.current())["items"].data[0]
    assert (item.id, item.price.id, item.quantity) == (portal.item, portal.shop.yearly, 2)
    hosted = (await portal.events(before))[-1]
    twin = await subscribe(portal.sdk, portal.shop)
    await portal.sdk.subscriptions.update_async(
        twin.id, {"items": [{"id": twin["items"].data[0].id, "price": portal.shop.yearly, "quantity": 2}]}
    )
    by_api = (await portal.events())[-1]
    assert hosted.type == by_api.type == "customer.subscription.updated"
    assert hosted.data.previous_attributes.to_dict().keys() == by_api.data.previous_attributes.to_dict().keys()


@pytest.mark.parametrize(
    ("price", "quantity", "status"),
    [
        ("unlisted", "1", 400),
        ("price_unknown", "1", 400),
        ("yearly", "6", 400),
        ("yearly", "0", 400),
        ("yearly", "-1", 400),
        ("yearly", "٣", 400),
        ("monthly", "1", 400),
        ("yearly", "5", 303),
    ],
)
async def test_only_listed_prices_and_bounded_quantities_are_taken(
    portal: Portal, price: str, quantity: str, status: int
) -> None:
    unlisted = await portal.sdk.prices.create_async(
        {"product": portal.shop.product, "currency": "usd", "unit_amount": 1, "recurring": {"interval": "month"}}
    )
    prices = {"unlisted": unlisted.id, "yearly": portal.shop.yearly, "monthly": portal.shop.monthly}
    wish = {"price": prices.get(price, price), "quantity": quantity}
    page = await portal.post(await portal.open(), f"subscriptions/{portal.subscription}/update", **wish)
    assert page.status == status
    changed = (await portal.current())["items"].data[0].price.id == portal.shop.yearly
    assert changed == (status == 303)


async def test_without_leave_for_quantities_a_quantity_is_refused(portal: Portal) -> None:
    update = everything(portal.shop)["subscription_update"] | {"default_allowed_updates": ["price"]}
    await portal.configure(subscription_update=update)
    page = await portal.open()
    path = f"subscriptions/{portal.subscription}/update"
    assert "quantity" not in (await portal.browser.follow(page, "Update plan")).form("Continue").fields
    assert (await portal.post(page, path, quantity="3")).status == 403
    assert (await portal.post(page, path, price=portal.shop.yearly)).status == 303


async def test_a_trial_ends_with_the_switch_or_goes_on_as_configured(portal: Portal) -> None:
    update = everything(portal.shop)["subscription_update"]
    for behaviour, status in (("continue_trial", "trialing"), ("end_trial", "active")):
        await portal.configure(subscription_update=update | {"trial_update_behavior": behaviour})
        trial = await subscribe(portal.sdk, portal.shop, trial_period_days=7)
        page = await portal.open()
        await portal.post(page, f"subscriptions/{trial.id}/update", price=portal.shop.yearly)
        assert (await portal.sdk.subscriptions.retrieve_async(trial.id)).status == status


async def test_a_subscription_of_several_items_can_only_be_canceled(portal: Portal) -> None:
    several = await subscribe(
        portal.sdk, portal.shop, items=[{"price": portal.shop.monthly}, {"price": portal.shop.yearly}]
    )
    await portal.sdk.subscriptions.cancel_async(portal.subscription)
    page = await portal.open()
    assert page.offers("Cancel plan")
    assert not page.offers("Update plan")
    answer = await portal.post(page, f"subscriptions/{several.id}/update", price=portal.shop.yearly)
    assert answer.status == 409


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


async def test_a_cancellation_reason_must_be_asked_for_and_on_offer(portal: Portal) -> None:
    page, path = await portal.open(), f"subscriptions/{portal.subscription}/cancel"
    assert (await portal.post(page, path, feedback="low_quality")).status == 400
    assert (await portal.post(page, path, comment="x" * 501)).status == 400
    reasons = {"enabled": False, "options": ["unused"]}
    await portal.configure(subscription_cancel={"enabled": True, "cancellation_reason": reasons})
    assert (await portal.post(page, path, feedback="unused")).status == 403
    assert (await portal.current()).cancel_at is None
    assert (await portal.post(page, path)).status == 303


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


async def test_names_from_outside_are_shown_as_text(portal: Portal) -> None:
    evil = "<script>alert(1)</script>"
    shop = portal.shop
    await portal.sdk.customers.update_async(shop.customer, {"name": f"Ann {evil}"})
    await portal.sdk.products.update_async(shop.product, {"name": f"Gold {evil}", "description": evil})
    await portal.sdk.accounts.update_async(shop.account, {"business_profile": {"name": f"Aurora {evil}"}})
    await portal.sdk.billing_portal.configurations.update_async(
        portal.configuration, {"business_profile": {"headline": evil, "terms_of_service_url": "javascript:alert(1)"}}
    )
    page = await portal.open(return_url="javascript:alert(1)")
    pages = [page]
    for words in ("Update plan", "Cancel plan", "Update information", "+ Add payment method"):
        pages.append(await portal.browser.follow(page, words))
    for each in pages:
        assert "script" not in each.tags
        assert "&lt;script&gt;" in each.html
        assert not any(url.startswith("javascript:") for url in each.links.values())


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

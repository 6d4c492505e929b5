"""Checkout sessions in subscription mode: the API, the page, and what paying leaves behind."""

from typing import Any

import aiohttp
import pytest
import stripe

from tests.sandbox.browser import Browser, Page
from tests.sandbox.conftest import Shop, Wire

SUCCESS = "https://shop.example/done?session={CHECKOUT_SESSION_ID}"


@pytest.fixture
def browser(http: aiohttp.ClientSession) -> Browser:
    return Browser(http)


async def checkout(sdk: Any, shop: Shop, **others: Any) -> Any:
    given = {
        "mode": "subscription",
        "line_items": [{"price": shop.monthly, "quantity": 1}],
        "success_url": SUCCESS,
        "cancel_url": "https://shop.example/back",
        "subscription_data": {"on_behalf_of": shop.account, "transfer_data": {"destination": shop.account}},
    }
    return await sdk.checkout.sessions.create_async({n: v for n, v in (given | others).items() if v is not None})


async def events(sdk: Any, since: int = 0) -> list[Any]:
    return list(reversed((await sdk.events.list_async({"limit": 100})).data))[since:]


async def pay(browser: Browser, page: Page, button: str = "Subscribe", **fields: str | None) -> Page:
    return await browser.submit(page, button, follow=False, action="pay", **fields)


async def test_paying_makes_customer_card_and_subscription_in_order(sdk: Any, shop: Shop, browser: Browser) -> None:
    data = {
        "on_behalf_of": shop.account,
        "transfer_data": {"destination": shop.account},
        "application_fee_percent": 10,
        "metadata": {"tenant": "aurora"},
    }
    session = await checkout(
        sdk, shop, customer_email="new@example.com", client_reference_id="42", subscription_data=data
    )
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 1000)
    before = len(await events(sdk))
    page = await browser.get(session.url)
    assert "Aurora" in page.text
    assert "$10.00 per month" in page.text
    done = await pay(browser, page, name="Nia New")
    assert (done.status, done.headers["location"]) == (303, SUCCESS.replace("{CHECKOUT_SESSION_ID}", session.id))
    session = await sdk.checkout.sessions.retrieve_async(session.id, {"expand": ["subscription", "line_items"]})
    assert (session.status, session.payment_status, session.url) == ("complete", "paid", None)
    assert (session.customer_details.email, session.customer_details.name) == ("new@example.com", "Nia New")
    assert (session.client_reference_id, session.line_items.data[0].amount_total) == ("42", 1000)
    subscription = session.subscription
    assert (subscription.status, subscription.customer, subscription.on_behalf_of) == (
        "active",
        session.customer,
        shop.account,
    )
    assert (subscription.application_fee_percent, subscription.metadata.to_dict()) == (10, {"tenant": "aurora"})
    assert subscription.default_payment_method is not None
    types = [event.type for event in await events(sdk, before)]
    order = ["customer.created", "payment_method.attached", "customer.subscription.created", "invoice.paid"]
    order.append("checkout.session.completed")
    assert [name for name in types if name in order] == order
    assert types[-1] == "checkout.session.completed"


async def test_a_page_that_is_used_up_says_so(sdk: Any, shop: Shop, browser: Browser, wire: Wire) -> None:
    paid = await checkout(sdk, shop, customer=shop.customer)
    asked = await browser.get(paid.url)
    await pay(browser, asked)
    assert (await browser.get(paid.url)).status == 410
    assert (await pay(browser, asked)).status == 410
    assert len((await sdk.subscriptions.list_async({"customer": shop.customer})).data) == 1
    late = await checkout(sdk, shop)
    await wire.control("advance", {"seconds": 24 * 3600 + 1})
    assert (await browser.get(late.url)).status == 410
    assert (await sdk.checkout.sessions.retrieve_async(late.id)).status == "expired"
    assert (await events(sdk))[-1].type == "checkout.session.expired"
    ended = await sdk.checkout.sessions.expire_async((await checkout(sdk, shop)).id)
    assert (ended.status, ended.url) == ("expired", None)
    with pytest.raises(stripe.InvalidRequestError, match="can be expired"):
        await sdk.checkout.sessions.expire_async(ended.id)
    assert (await browser.get(f"{wire.url}/c/pay/cs_test_none")).status == 404


@pytest.mark.parametrize("card", ["chargeDeclined", "chargeCustomerFail"])
async def test_a_declined_card_leaves_nothing_behind(sdk: Any, shop: Shop, browser: Browser, card: str) -> None:
    session = await checkout(sdk, shop)
    before = len(await events(sdk))
    asked = await browser.get(session.url)
    page = await pay(browser, asked, card=card, email="nia@example.com", name="Nia")
    assert (page.status, "Your card was declined." in page.text) == (402, True)
    assert len(await events(sdk)) == before
    again = await pay(browser, page, card="visa")
    assert again.status == 303


async def test_a_secure_card_waits_for_the_customer(sdk: Any, shop: Shop, browser: Browser) -> None:
    session = await checkout(sdk, shop, customer=shop.customer)
    asked = await browser.get(session.url)
    bank = await browser.submit(asked, "Subscribe", action="pay", card="authenticationRequired")
    assert bank.url.endswith("/confirm")
    failed = await browser.submit(bank, "Fail", action="fail")
    assert (failed.status, (await sdk.checkout.sessions.retrieve_async(session.id)).status) == (402, "open")
    done = await browser.submit(bank, "Fail", follow=False, action="complete")
    assert done.status == 303
    subscription = (await sdk.subscriptions.list_async({"customer": shop.customer})).data[0]
    assert subscription.status == "active"


async def test_a_trial_costs_nothing_today(sdk: Any, shop: Shop, browser: Browser) -> None:
    session = await checkout(
        sdk,
        shop,
        customer=shop.customer,
        subscription_data={"trial_period_days": 14},
        payment_method_collection="if_required",
    )
    assert session.amount_total == 0
    page = await browser.get(session.url)
    assert "14 days free" in page.text
    assert "Choose a test card" not in page.text
    assert (await pay(browser, page, "Start trial")).status == 303
    session = await sdk.checkout.sessions.retrieve_async(session.id)
    assert session.payment_status == "no_payment_required"
    assert (await sdk.subscriptions.retrieve_async(session.subscription)).status == "trialing"


async def test_promotion_codes_and_quantities_change_what_is_due(sdk: Any, shop: Shop, browser: Browser) -> None:
    coupon = await sdk.coupons.create_async({"percent_off": 50, "duration": "once"})
    await sdk.promotion_codes.create_async({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "HALF"})
    line = {
        "price": shop.monthly,
        "quantity": 2,
        "adjustable_quantity": {"enabled": True, "minimum": 1, "maximum": 3},
    }
    session = await checkout(sdk, shop, customer=shop.customer, line_items=[line], allow_promotion_codes=True)
    page = await browser.get(session.url)
    wrong = await browser.submit(page, "Apply", code="NONE", action="code")
    assert (wrong.status, "not valid" in wrong.text) == (400, True)
    page = await browser.submit(page, "Apply", code="half", action="code")
    assert "Due today $10.00" in page.text
    for quantity, status in (("4", 400), ("x", 400), ("3", 303)):
        fields = {name: quantity for name in page.form("Change").fields if name.startswith("quantity_")}
        answer = await browser.submit(page, "Change", follow=False, action="quantity", **fields)
        assert answer.status == status
    page = await browser.get(session.url)
    assert "Due today $15.00" in page.text
    await pay(browser, page)
    session = await sdk.checkout.sessions.retrieve_async(session.id)
    assert (session.amount_subtotal, session.amount_total, session.total_details.amount_discount) == (3000, 1500, 1500)
    invoice = await sdk.invoices.retrieve_async(session.invoice)
    assert (invoice.total, invoice.status) == (1500, "paid")


async def test_codes_are_refused_where_they_are_not_taken_and_forms_need_their_token(
    sdk: Any, shop: Shop, browser: Browser
) -> None:
    session = await checkout(sdk, shop, customer=shop.customer)
    page = await browser.get(session.url)
    assert not page.offers("Apply")
    token = page.form("Subscribe").fields["csrf_token"]
    for fields, status in (
        ({"csrf_token": token, "action": "code", "code": "X"}, 403),
        ({"csrf_token": "x", "action": "pay", "card": "visa"}, 403),
        ({"csrf_token": token, "action": "pay", "card": "none"}, 400),
        ({"csrf_token": token, "action": "nothing"}, 400),
    ):
        assert (await browser.send("POST", session.url, fields, follow=False)).status == status
    assert (await sdk.checkout.sessions.retrieve_async(session.id)).status == "open"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"mode": None}, "mode"),
        ({"line_items": None}, "line_items"),
        ({"success_url": None}, "success_url"),
        ({"success_url": "nonsense"}, "success_url"),
        ({"line_items": [{"price": "price_none", "quantity": 1}]}, "line_items[0][price]"),
        ({"customer": "cus_none"}, "customer"),
        ({"expires_at": 1}, "expires_at"),
        ({"discounts": [{"coupon": "none"}]}, "discounts[0][coupon]"),
        ({"allow_promotion_codes": True, "discounts": [{"coupon": "none"}]}, "discounts"),
        ({"subscription_data": {"on_behalf_of": "acct_none"}}, "subscription_data[on_behalf_of]"),
        ({"subscription_data": {"application_fee_percent": 5}}, "subscription_data[application_fee_percent]"),
        ({"subscription_data": {"trial_end": 1}}, "subscription_data[trial_end]"),
    ],
)
async def test_a_session_that_could_not_be_carried_out_is_refused(
    sdk: Any, shop: Shop, change: dict[str, Any], param: str
) -> None:
    before = len(await events(sdk))
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await checkout(sdk, shop, **change)
    assert refused.value.param == param
    assert (await sdk.checkout.sessions.list_async()).data == []
    assert len(await events(sdk)) == before


async def test_quantities_and_other_modes(sdk: Any, shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await checkout(sdk, shop, line_items=[{"price": shop.monthly}])
    assert refused.value.param == "line_items[0][quantity]"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await checkout(sdk, shop, customer=shop.customer, customer_email="a@example.com")
    assert refused.value.param == "customer_email"
    with pytest.raises(stripe.APIError, match="not implemented"):
        await checkout(sdk, shop, mode="payment")


async def test_sessions_are_listed_with_their_lines_and_take_metadata(sdk: Any, shop: Shop) -> None:
    session = await checkout(sdk, shop, customer=shop.customer)
    assert "line_items" not in session
    listed = await sdk.checkout.sessions.list_async({"customer": shop.customer, "status": "open"})
    assert [row.id for row in listed.data] == [session.id]
    lines = await sdk.checkout.sessions.line_items.list_async(session.id)
    assert (lines.data[0].price.id, lines.data[0].description) == (shop.monthly, "Gold")
    assert (await sdk.checkout.sessions.update_async(session.id, {"metadata": {"a": "b"}})).metadata["a"] == "b"
    assert (await sdk.checkout.sessions.list_async({"status": "complete"})).data == []


async def test_a_session_of_a_customer_on_a_test_clock_lives_by_the_sandboxs_time(
    sdk: Any, shop: Shop, browser: Browser
) -> None:
    clock = await sdk.test_helpers.test_clocks.create_async({"frozen_time": 2_000_000_000})
    customer = await sdk.customers.create_async({"test_clock": clock.id, "email": "t@example.com"})
    session = await checkout(sdk, shop, customer=customer.id)
    assert session.expires_at < 2_000_000_000
    assert (await pay(browser, await browser.get(session.url))).status == 303
    subscription = (await sdk.subscriptions.list_async({"customer": customer.id})).data[0]
    assert (subscription.start_date, subscription.test_clock) == (2_000_000_000, clock.id)


async def test_a_seller_that_left_sells_no_more(sdk: Any, shop: Shop, browser: Browser) -> None:
    session = await checkout(sdk, shop, customer=shop.customer)
    await sdk.accounts.delete_async(shop.account)
    assert (await browser.get(session.url)).status == 410

"""Payments that fail: at the start, at a renewal, and until the subscription gives up."""

from typing import Any

import pytest
import stripe

from tests.sandbox.clocks import DAY, HOUR, NOW, advance, on_a_clock, set_billing, types_of, use_card
from tests.sandbox.conftest import Shop, Wire, customer_with_card


async def renewed_without_money(sdk: Any, shop: Shop) -> tuple[str, Any, int]:
    """A clock whose subscription's renewal has just failed, the subscription, and when that was."""
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    await use_card(sdk, customer, "pm_card_chargeCustomerFail")
    failed = subscription["items"].data[0].current_period_end + HOUR
    await advance(sdk, clock, failed)
    return clock, await sdk.subscriptions.retrieve_async(subscription.id), failed


async def test_a_failed_renewal_is_past_due_and_tried_again_until_it_is_cancelled(sdk: Any, shop: Shop) -> None:
    clock, subscription, failed = await renewed_without_money(sdk, shop)
    invoice = await sdk.invoices.retrieve_async(subscription.latest_invoice)
    assert (subscription.status, invoice.status) == ("past_due", "open")
    assert (invoice.attempt_count, invoice.next_payment_attempt) == (1, failed + 3 * DAY)
    await advance(sdk, clock, failed + 8 * DAY)
    invoice = await sdk.invoices.retrieve_async(invoice.id)
    assert (invoice.attempt_count, invoice.next_payment_attempt) == (3, failed + 15 * DAY)
    await advance(sdk, clock, failed + 15 * DAY)
    gone = await sdk.subscriptions.retrieve_async(subscription.id)
    assert (gone.status, gone.ended_at) == ("canceled", failed + 15 * DAY)
    assert gone.cancellation_details.reason == "payment_failed"
    seen = await types_of(sdk, "invoice.payment_failed", "customer.subscription.deleted")
    assert seen == ["invoice.payment_failed"] * 4 + ["customer.subscription.deleted"]
    invoice = await sdk.invoices.retrieve_async(invoice.id)
    assert (invoice.status, invoice.auto_advance, invoice.next_payment_attempt) == ("open", False, None)


@pytest.mark.parametrize(("setting", "status"), [("unpaid", "unpaid"), ("past_due", "past_due")])
async def test_an_account_says_what_follows_the_last_try(
    sdk: Any, shop: Shop, wire: Wire, setting: str, status: str
) -> None:
    await set_billing(wire, after_retries=setting, retry_days=[1])
    clock, subscription, failed = await renewed_without_money(sdk, shop)
    await advance(sdk, clock, failed + 2 * DAY)
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == status
    invoice = await sdk.invoices.retrieve_async(subscription.latest_invoice)
    assert (invoice.status, invoice.attempt_count, invoice.next_payment_attempt) == ("open", 2, None)


async def test_an_unpaid_subscription_only_drafts_and_paying_brings_it_back(sdk: Any, shop: Shop, wire: Wire) -> None:
    await set_billing(wire, after_retries="unpaid", retry_days=[])
    clock, subscription, failed = await renewed_without_money(sdk, shop)
    assert subscription.status == "unpaid"
    await advance(sdk, clock, failed + 40 * DAY)
    unpaid = await sdk.subscriptions.retrieve_async(subscription.id)
    draft = await sdk.invoices.retrieve_async(unpaid.latest_invoice)
    assert (draft.status, draft.auto_advance) == ("draft", False)
    await use_card(sdk, unpaid.customer, "pm_card_visa")
    await sdk.invoices.pay_async(draft.id)
    assert (await sdk.subscriptions.retrieve_async(unpaid.id)).status == "active"


async def test_a_new_card_pays_at_the_next_try(sdk: Any, shop: Shop) -> None:
    clock, subscription, failed = await renewed_without_money(sdk, shop)
    assert (await sdk.customers.retrieve_async(subscription.customer)).delinquent is True
    await use_card(sdk, subscription.customer, "pm_card_visa")
    await advance(sdk, clock, failed + 3 * DAY)
    assert (await sdk.customers.retrieve_async(subscription.customer)).delinquent is False
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == "active"
    assert (await sdk.invoices.retrieve_async(subscription.latest_invoice)).status == "paid"


async def test_a_refused_payment_is_kept_with_its_attempt_and_event(sdk: Any, shop: Shop) -> None:
    _, subscription, _ = await renewed_without_money(sdk, shop)
    with pytest.raises(stripe.CardError) as refused:
        await sdk.invoices.pay_async(subscription.latest_invoice)
    assert (refused.value.http_status, refused.value.code) == (402, "card_declined")
    assert refused.value.error.decline_code == "generic_decline"
    assert (await sdk.invoices.retrieve_async(subscription.latest_invoice)).attempt_count == 2
    assert (await types_of(sdk, "invoice.payment_failed")).count("invoice.payment_failed") == 2


@pytest.mark.parametrize(
    ("card", "code", "decline"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ],
)
async def test_some_cards_are_declined_when_they_are_attached(
    sdk: Any, shop: Shop, card: str, code: str, decline: str
) -> None:
    with pytest.raises(stripe.CardError) as refused:
        await sdk.payment_methods.attach_async(card, {"customer": shop.customer})
    assert (refused.value.http_status, refused.value.code) == (402, code)
    assert refused.value.error.decline_code == decline


async def test_a_card_that_wants_authentication_leaves_the_subscription_incomplete(sdk: Any, shop: Shop) -> None:
    secure = await customer_with_card(sdk, "pm_card_authenticationRequired")
    wanted = {"customer": secure, "items": [{"price": shop.monthly}]}
    subscription = await sdk.subscriptions.create_async(
        {**wanted, "expand": ["latest_invoice.payments", "latest_invoice.confirmation_secret"]}
    )
    assert (subscription.status, subscription.latest_invoice.status) == ("incomplete", "open")
    payment = subscription.latest_invoice.payments.data[0]
    assert (payment.status, payment.payment.type, payment.amount_requested) == ("open", "payment_intent", 1000)
    secret = subscription.latest_invoice.confirmation_secret.client_secret
    assert secret.startswith(payment.payment.payment_intent)
    assert "invoice.payment_action_required" in await types_of(sdk, "invoice.*")
    with pytest.raises(stripe.CardError) as refused:
        await sdk.invoices.pay_async(subscription.latest_invoice.id)
    assert refused.value.code == "invoice_payment_intent_requires_action"
    with pytest.raises(stripe.CardError) as refused:
        await sdk.subscriptions.create_async({**wanted, "payment_behavior": "error_if_incomplete"})
    assert refused.value.code == "subscription_payment_intent_requires_action"
    assert len((await sdk.subscriptions.list_async({"customer": secure})).data) == 1


async def test_a_customer_who_authenticates_has_paid(sdk: Any, shop: Shop, wire: Wire) -> None:
    secure = await customer_with_card(sdk, "pm_card_threeDSecure2Required")
    subscription = await sdk.subscriptions.create_async({"customer": secure, "items": [{"price": shop.monthly}]})
    headers = {"Authorization": f"Bearer {wire.key}"}
    wish = {"invoice": subscription.latest_invoice}
    async with wire.session.post(f"{wire.url}/_sandbox/authenticate", json=wish, headers=headers) as answer:
        assert (answer.status, (await answer.json())["status"]) == (200, "paid")
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == "active"


async def test_an_incomplete_subscription_expires_after_23_hours(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async(
        {"customer": customer, "items": [{"price": shop.monthly}], "payment_behavior": "default_incomplete"}
    )
    assert subscription.status == "incomplete"
    await advance(sdk, clock, NOW + 23 * HOUR - 1)
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == "incomplete"
    await advance(sdk, clock, NOW + 23 * HOUR)
    expired = await sdk.subscriptions.retrieve_async(subscription.id)
    assert (expired.status, expired.ended_at) == ("incomplete_expired", NOW + 23 * HOUR)
    assert (await sdk.invoices.retrieve_async(subscription.latest_invoice)).status == "void"
    assert "invoice.voided" in await types_of(sdk, "invoice.*")


async def test_a_sent_invoice_is_overdue_after_its_days(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async(
        {
            "customer": customer,
            "items": [{"price": shop.monthly}],
            "collection_method": "send_invoice",
            "days_until_due": 7,
        }
    )
    assert subscription.status == "active"
    assert (await sdk.invoices.retrieve_async(subscription.latest_invoice)).status == "draft"
    await advance(sdk, clock, NOW + HOUR)
    invoice = await sdk.invoices.retrieve_async(subscription.latest_invoice)
    assert (invoice.status, invoice.due_date) == ("open", NOW + HOUR + 7 * DAY)
    await advance(sdk, clock, invoice.due_date)
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == "past_due"
    await sdk.invoices.pay_async(invoice.id, {"paid_out_of_band": True})
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == "active"
    seen = await types_of(sdk, "invoice.*")
    assert [name for name in ("invoice.sent", "invoice.overdue", "invoice.paid") if name in seen] == [
        "invoice.sent",
        "invoice.overdue",
        "invoice.paid",
    ]
    assert "invoice.payment_succeeded" not in seen

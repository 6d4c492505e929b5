"""Invoices: drafts, their way through the statuses, invoice items, prorations and previews."""

from typing import Any

import pytest
import stripe

from tests.sandbox.clocks import DAY, HOUR, NOW, advance, on_a_clock, types_of
from tests.sandbox.conftest import Shop, catalogue, customer_with_card


async def drafted(sdk: Any, customer: str, amount: int = 700, **params: Any) -> Any:
    await sdk.invoice_items.create_async({"customer": customer, "amount": amount, "currency": "usd"})
    return await sdk.invoices.create_async(
        {"customer": customer, "pending_invoice_items_behavior": "include", **params}
    )


async def test_a_draft_is_finalised_and_paid(sdk: Any, shop: Shop) -> None:
    draft = await drafted(sdk, shop.customer, description="hours", metadata={"a": "b"})
    assert (draft.status, draft.total, draft.number, draft.auto_advance) == ("draft", 700, None, False)
    assert draft.lines.data[0].parent.type == "invoice_item_details"
    edited = await sdk.invoices.update_async(draft.id, {"description": "more hours"})
    assert edited.description == "more hours"
    opened = await sdk.invoices.finalize_invoice_async(draft.id)
    assert (opened.status, opened.amount_remaining) == ("open", 700)
    assert opened.number.endswith("-0001")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.invoices.update_async(draft.id, {"collection_method": "send_invoice"})
    assert refused.value.param == "collection_method"
    paid = await sdk.invoices.pay_async(draft.id)
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 700, 0)
    payment = (await sdk.invoice_payments.list_async({"invoice": draft.id})).data[0]
    assert (payment.status, payment.amount_paid) == ("paid", 700)
    assert (await sdk.invoice_payments.retrieve_async(payment.id)).invoice == draft.id
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        await sdk.invoices.pay_async(draft.id)


async def test_an_open_invoice_is_voided_or_written_off(sdk: Any, shop: Shop) -> None:
    first, second = [await drafted(sdk, shop.customer) for _ in range(2)]
    for invoice in (first, second):
        await sdk.invoices.finalize_invoice_async(invoice.id)
    voided = await sdk.invoices.void_invoice_async(first.id)
    assert (voided.status, voided.amount_remaining) == ("void", 0)
    lost = await sdk.invoices.mark_uncollectible_async(second.id)
    assert (lost.status, lost.status_details.uncollectible.reason) == ("uncollectible", "user_forgiven")
    for call in (sdk.invoices.void_invoice_async, sdk.invoices.mark_uncollectible_async, sdk.invoices.pay_async):
        with pytest.raises(stripe.InvalidRequestError):
            await call(first.id)
    assert (await sdk.invoices.pay_async(second.id)).status == "paid"
    seen = await types_of(sdk, "invoice.voided", "invoice.marked_uncollectible")
    assert seen == ["invoice.voided", "invoice.marked_uncollectible"]


async def test_only_a_draft_can_be_deleted_and_its_items_wait_again(sdk: Any, shop: Shop) -> None:
    draft = await drafted(sdk, shop.customer)
    item = (await sdk.invoice_items.list_async({"invoice": draft.id})).data[0]
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.invoice_items.delete_async(item.id)
    await sdk.invoices.delete_async(draft.id)
    assert [row.id for row in (await sdk.invoice_items.list_async({"pending": True})).data] == [item.id]
    again = await sdk.invoices.create_async({"customer": shop.customer, "pending_invoice_items_behavior": "include"})
    await sdk.invoices.finalize_invoice_async(again.id)
    with pytest.raises(stripe.InvalidRequestError, match="only delete draft"):
        await sdk.invoices.delete_async(again.id)


async def test_paid_out_of_band_is_paid_without_a_payment(sdk: Any, shop: Shop) -> None:
    invoice = await drafted(sdk, shop.customer)
    paid = await sdk.invoices.pay_async(invoice.id, {"paid_out_of_band": True})
    assert (paid.status, paid.amount_paid_off_stripe) == ("paid", 700)
    assert await types_of(sdk, "invoice.paid", "invoice.payment_succeeded") == ["invoice.paid"]


async def test_a_sent_invoice_has_a_due_date_and_an_event(sdk: Any, shop: Shop) -> None:
    invoice = await drafted(sdk, shop.customer, collection_method="send_invoice", days_until_due=5)
    sent = await sdk.invoices.send_invoice_async(invoice.id)
    assert (sent.status, sent.due_date - sent.status_transitions.finalized_at) == ("open", 5 * DAY)
    assert await types_of(sdk, "invoice.sent") == ["invoice.sent"]
    charged = await drafted(sdk, shop.customer)
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.invoices.send_invoice_async(charged.id)


async def test_a_balance_is_taken_off_the_next_invoice(sdk: Any, shop: Shop) -> None:
    await sdk.customers.update_async(shop.customer, {"balance": -1000})
    draft = await drafted(sdk, shop.customer, 700)
    paid = await sdk.invoices.finalize_invoice_async(draft.id)
    assert (paid.status, paid.amount_due, paid.total) == ("paid", 0, 700)
    assert (paid.starting_balance, paid.ending_balance) == (-1000, -300)
    assert (await sdk.customers.retrieve_async(shop.customer)).balance == -300


async def test_a_quantity_is_prorated_by_the_second_on_the_next_invoice(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    item = subscription["items"].data[0]
    start, end = item.current_period_start, item.current_period_end
    await advance(sdk, clock, start + 10 * DAY)
    changed = await sdk.subscriptions.update_async(subscription.id, {"items": [{"id": item.id, "quantity": 3}]})
    assert changed.latest_invoice == subscription.latest_invoice
    share = (end - start - 10 * DAY) / (end - start)
    pending = (await sdk.invoice_items.list_async({"customer": customer, "pending": True})).data
    assert sorted(row.amount for row in pending) == [-round(1000 * share), round(3000 * share)]
    assert {row.proration for row in pending} == {True}
    await advance(sdk, clock, end + HOUR)
    renewed = await sdk.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert renewed.latest_invoice.total == 3000 + round(3000 * share) - round(1000 * share)
    assert len(renewed.latest_invoice.lines.data) == 3


@pytest.mark.parametrize(("behaviour", "billed", "waiting"), [("none", 0, 0), ("always_invoice", 2000, 0)])
async def test_proration_behaviour_says_when_a_change_is_billed(
    sdk: Any, shop: Shop, behaviour: str, billed: int, waiting: int
) -> None:
    _, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    changed = await sdk.subscriptions.update_async(
        subscription.id,
        {
            "items": [{"id": subscription["items"].data[0].id, "quantity": 3}],
            "proration_behavior": behaviour,
            "expand": ["latest_invoice"],
        },
    )
    assert len((await sdk.invoice_items.list_async({"customer": customer, "pending": True})).data) == waiting
    assert (changed.latest_invoice.id != subscription.latest_invoice) is (billed > 0)
    if billed:
        assert (changed.latest_invoice.total, changed.latest_invoice.status) == (billed, "paid")


async def test_an_item_by_itself_is_changed_with_the_same_prorations(sdk: Any, shop: Shop) -> None:
    _, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    item = subscription["items"].data[0].id
    await sdk.subscription_items.update_async(item, {"quantity": 2, "proration_behavior": "none"})
    pending = {"customer": customer, "pending": True}
    assert (await sdk.invoice_items.list_async(pending)).data == []
    await sdk.subscription_items.update_async(item, {"quantity": 5})
    assert sum(row.amount for row in (await sdk.invoice_items.list_async(pending)).data) == 3000


async def test_a_preview_shows_a_change_and_leaves_nothing_behind(sdk: Any, shop: Shop) -> None:
    subscription = await sdk.subscriptions.create_async({"customer": shop.customer, "items": [{"price": shop.monthly}]})
    before = [row.id for row in (await sdk.events.list_async({"limit": 100})).data]
    _next = await sdk.invoices.create_preview_async({"subscription": subscription.id})
    assert (_next.total, _next.status, _next.number) == (1000, "draft", None)
    assert _next.id.startswith("upcoming_in_")
    item = subscription["items"].data[0].id
    switched = await sdk.invoices.create_preview_async(
        {"subscription": subscription.id, "subscription_details": {"items": [{"id": item, "price": shop.yearly}]}}
    )
    assert (switched.total, len(switched.lines.data)) == (8000, 2)
    first = await sdk.invoices.create_preview_async(
        {"customer": shop.customer, "subscription_details": {"items": [{"price": shop.monthly, "quantity": 4}]}}
    )
    assert first.total == 4000
    assert [row.id for row in (await sdk.events.list_async({"limit": 100})).data] == before
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).to_dict() == subscription.to_dict()
    await sdk.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.invoices.create_preview_async({"subscription": subscription.id})
    assert refused.value.code == "invoice_upcoming_none"


async def test_a_pending_update_waits_for_its_payment(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    item = subscription["items"].data[0].id
    bad = await sdk.payment_methods.attach_async("pm_card_chargeCustomerFail", {"customer": customer})
    await sdk.customers.update_async(customer, {"invoice_settings": {"default_payment_method": bad.id}})
    wish = {"items": [{"id": item, "price": shop.yearly}], "payment_behavior": "pending_if_incomplete"}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.subscriptions.update_async(subscription.id, {**wish, "description": "x"})
    assert refused.value.param == "description"
    waiting = await sdk.subscriptions.update_async(subscription.id, wish)
    assert (waiting.status, waiting["items"].data[0].price.id) == ("active", shop.monthly)
    assert waiting.pending_update.subscription_items[0].price.id == shop.yearly
    assert waiting.pending_update.expires_at == NOW + 23 * HOUR
    await advance(sdk, clock, NOW + 23 * HOUR)
    expired = await sdk.subscriptions.retrieve_async(subscription.id)
    assert (expired.pending_update, expired["items"].data[0].price.id) == (None, shop.monthly)
    assert (await sdk.invoices.retrieve_async(waiting.latest_invoice)).status == "void"
    again = await sdk.subscriptions.update_async(subscription.id, wish)
    good = await sdk.payment_methods.attach_async("pm_card_visa", {"customer": customer})
    await sdk.invoices.pay_async(again.latest_invoice, {"payment_method": good.id})
    applied = await sdk.subscriptions.retrieve_async(subscription.id)
    assert (applied.pending_update, applied["items"].data[0].price.id) == (None, shop.yearly)
    assert await types_of(sdk, "customer.subscription.pending_*") == [
        "customer.subscription.pending_update_expired",
        "customer.subscription.pending_update_applied",
    ]


async def test_an_update_that_must_be_paid_is_refused_or_past_due(sdk: Any, shop: Shop) -> None:
    customer = await customer_with_card(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    bad = await sdk.payment_methods.attach_async("pm_card_chargeCustomerFail", {"customer": customer})
    await sdk.customers.update_async(customer, {"invoice_settings": {"default_payment_method": bad.id}})
    wish = {"items": [{"id": subscription["items"].data[0].id, "price": shop.yearly}]}
    with pytest.raises(stripe.CardError):
        await sdk.subscriptions.update_async(subscription.id, {**wish, "payment_behavior": "error_if_incomplete"})
    same = await sdk.subscriptions.retrieve_async(subscription.id)
    assert (same["items"].data[0].price.id, same.latest_invoice) == (shop.monthly, subscription.latest_invoice)
    changed = await sdk.subscriptions.update_async(subscription.id, wish)
    assert (changed.status, changed["items"].data[0].price.id) == ("past_due", shop.yearly)


async def test_a_new_billing_cycle_starts_now_with_what_is_left_credited(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    end = subscription["items"].data[0].current_period_end
    await advance(sdk, clock, NOW + 10 * DAY)
    moved = await sdk.subscriptions.update_async(
        subscription.id, {"billing_cycle_anchor": {"type": "now"}, "expand": ["latest_invoice"]}
    )
    assert moved.billing_cycle_anchor == moved["items"].data[0].current_period_start == NOW + 10 * DAY
    assert moved.latest_invoice.total == 1000 - round(1000 * (end - NOW - 10 * DAY) / (end - NOW))
    assert moved.latest_invoice.status == "paid"


async def test_an_added_item_ends_with_the_period_and_is_prorated(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    _, other, _ = await catalogue(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    end = subscription["items"].data[0].current_period_end
    await advance(sdk, clock, NOW + 15 * DAY)
    changed = await sdk.subscriptions.update_async(subscription.id, {"items": [{"price": other}]})
    assert {item.current_period_end for item in changed["items"].data} == {end}
    pending = (await sdk.invoice_items.list_async({"customer": customer, "pending": True})).data
    assert [row.amount for row in pending] == [round(1000 * (end - NOW - 15 * DAY) / (end - NOW))]

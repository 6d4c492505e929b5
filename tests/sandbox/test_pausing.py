"""Pausing: of a subscription as a whole, of its collection, and what refuses it."""

from typing import Any

import pytest
import stripe

from tests.sandbox.clocks import DAY, HOUR, NOW, advance, on_a_clock, types_of, use_card
from tests.sandbox.conftest import Shop


async def running(sdk: Any, shop: Shop, **params: Any) -> tuple[str, Any]:
    clock, customer = await on_a_clock(sdk)
    wanted = {"customer": customer, "items": [{"price": shop.monthly}], **params}
    return clock, await sdk.subscriptions.create_async(wanted)


async def test_a_paused_subscription_is_not_billed_until_it_is_resumed(sdk: Any, shop: Shop) -> None:
    clock, subscription = await running(sdk, shop)
    paused = await sdk.subscriptions.pause_async(subscription.id, {"type": "subscription"})
    assert (paused.status, paused.status_details.paused.transitioned_at) == ("paused", NOW)
    assert paused.status_details.paused.subscription.type == "pause_requested"
    await advance(sdk, clock, NOW + 45 * DAY)
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).latest_invoice == subscription.latest_invoice
    resumed = await sdk.subscriptions.resume_async(subscription.id)
    assert (resumed.status, resumed.billing_cycle_anchor) == ("active", NOW + 45 * DAY)
    assert resumed["items"].data[0].current_period_start == NOW + 45 * DAY
    invoice = await sdk.invoices.retrieve_async(resumed.latest_invoice)
    assert (invoice.status, invoice.amount_paid) == ("paid", 1000)
    seen = await types_of(sdk, "customer.subscription.paused", "customer.subscription.resumed")
    assert seen == ["customer.subscription.paused", "customer.subscription.resumed"]
    with pytest.raises(stripe.InvalidRequestError, match="Only paused"):
        await sdk.subscriptions.resume_async(subscription.id)


async def test_a_resumption_within_the_period_changes_nothing_else(sdk: Any, shop: Shop) -> None:
    clock, subscription = await running(sdk, shop)
    await sdk.subscriptions.pause_async(subscription.id)
    await advance(sdk, clock, NOW + 5 * DAY)
    resumed = await sdk.subscriptions.resume_async(subscription.id, {"billing_cycle_anchor": {"type": "unchanged"}})
    assert (resumed.status, resumed.latest_invoice) == ("active", subscription.latest_invoice)
    assert resumed["items"].data[0].current_period_end == subscription["items"].data[0].current_period_end


async def test_a_resumption_that_is_not_paid_waits_for_its_invoice(sdk: Any, shop: Shop) -> None:
    clock, subscription = await running(sdk, shop)
    await sdk.subscriptions.pause_async(subscription.id)
    await use_card(sdk, subscription.customer, "pm_card_chargeCustomerFail")
    await advance(sdk, clock, NOW + DAY)
    waiting = await sdk.subscriptions.resume_async(subscription.id)
    assert waiting.status == "paused"
    good = await use_card(sdk, subscription.customer, "pm_card_visa")
    await sdk.invoices.pay_async(waiting.latest_invoice, {"payment_method": good})
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == "active"


async def test_unused_time_is_credited_where_a_pause_asks_for_it(sdk: Any, shop: Shop) -> None:
    clock, subscription = await running(sdk, shop)
    await advance(sdk, clock, NOW + 15 * DAY)
    await sdk.subscriptions.pause_async(subscription.id, {"bill_for": {"unused_time_from": {"type": "now"}}})
    pending = (await sdk.invoice_items.list_async({"customer": subscription.customer, "pending": True})).data
    end = subscription["items"].data[0].current_period_end
    assert [row.amount for row in pending] == [-round(1000 * (end - NOW - 15 * DAY) / (end - NOW))]


async def test_classic_and_scheduled_subscriptions_cannot_be_paused(sdk: Any, shop: Shop) -> None:
    _, classic = await running(sdk, shop, billing_mode={"type": "classic"})
    _, scheduled = await running(sdk, shop)
    await sdk.subscription_schedules.create_async({"from_subscription": scheduled.id})
    for subscription in (classic, scheduled):
        with pytest.raises(stripe.InvalidRequestError, match="paused"):
            await sdk.subscriptions.pause_async(subscription.id)
        assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == "active"
    migrated = await sdk.subscriptions.migrate_async(classic.id, {"billing_mode": {"type": "flexible"}})
    assert (migrated.billing_mode.type, migrated.billing_mode.updated_at) == ("flexible", NOW)
    assert (await sdk.subscriptions.pause_async(classic.id)).status == "paused"
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.subscriptions.migrate_async(classic.id, {"billing_mode": {"type": "flexible"}})


@pytest.mark.parametrize(
    ("behaviour", "status"), [("keep_as_draft", "draft"), ("void", "void"), ("mark_uncollectible", "uncollectible")]
)
async def test_a_pause_of_collection_keeps_the_subscription_running(
    sdk: Any, shop: Shop, behaviour: str, status: str
) -> None:
    clock, subscription = await running(sdk, shop)
    end = subscription["items"].data[0].current_period_end
    paused = await sdk.subscriptions.update_async(
        subscription.id, {"pause_collection": {"behavior": behaviour, "resumes_at": end + 2 * DAY}}
    )
    assert (paused.status, paused.pause_collection.behavior) == ("active", behaviour)
    await advance(sdk, clock, end + DAY)
    found = await sdk.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (found.status, found.latest_invoice.status) == ("active", status)
    await advance(sdk, clock, end + 2 * DAY)
    resumed = await sdk.subscriptions.retrieve_async(subscription.id)
    assert resumed.pause_collection is None
    await advance(sdk, clock, resumed["items"].data[0].current_period_end + HOUR)
    found = await sdk.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert found.latest_invoice.status == "paid"

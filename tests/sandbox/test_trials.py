"""Trials: their notice, their end with and without a card, and scheduled cancellations."""

from typing import Any

import pytest

from tests.sandbox.clocks import DAY, HOUR, NOW, advance, on_a_clock, types_of
from tests.sandbox.conftest import Shop


async def on_trial(sdk: Any, shop: Shop, behaviour: str | None = None, *, card: bool = False) -> tuple[str, Any]:
    clock, customer = await on_a_clock(sdk, "pm_card_visa" if card else None)
    wanted: dict[str, Any] = {"customer": customer, "items": [{"price": shop.monthly}], "trial_period_days": 7}
    if behaviour is not None:
        wanted["trial_settings"] = {"end_behavior": {"missing_payment_method": behaviour}}
    return clock, await sdk.subscriptions.create_async(wanted)


async def test_a_trial_is_announced_three_days_before_and_then_billed(sdk: Any, shop: Shop) -> None:
    clock, trial = await on_trial(sdk, shop, card=True)
    assert (trial.status, trial.trial_end) == ("trialing", NOW + 7 * DAY)
    await advance(sdk, clock, NOW + 4 * DAY - 1)
    assert await types_of(sdk, "customer.subscription.trial_will_end") == []
    await advance(sdk, clock, NOW + 4 * DAY)
    assert await types_of(sdk, "customer.subscription.trial_will_end") == ["customer.subscription.trial_will_end"]
    await advance(sdk, clock, trial.trial_end + HOUR)
    started = await sdk.subscriptions.retrieve_async(trial.id)
    invoice = await sdk.invoices.retrieve_async(started.latest_invoice)
    assert (started.status, invoice.status, invoice.amount_paid) == ("active", "paid", 1000)
    assert started["items"].data[0].current_period_start == trial.trial_end


async def test_a_short_trial_is_announced_once_as_it_is_made(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    wanted = {"customer": customer, "items": [{"price": shop.monthly}], "trial_period_days": 2}
    trial = await sdk.subscriptions.create_async(wanted)
    kinds = ["customer.subscription.created", "customer.subscription.trial_will_end"]
    assert await types_of(sdk, *kinds) == kinds
    (notice,) = (await sdk.events.list_async({"type": kinds[1]})).data
    assert (notice.data.object.id, notice.data.object.status) == (trial.id, "trialing")
    await advance(sdk, clock, trial.trial_end + HOUR)
    assert await types_of(sdk, *kinds) == kinds


async def test_a_short_trial_on_no_clock_is_not_announced_before_it_exists(sdk: Any, shop: Shop) -> None:
    wanted = {"customer": shop.customer, "items": [{"price": shop.monthly}], "trial_period_days": 1}
    trial = await sdk.subscriptions.create_async(wanted)
    (notice,) = (await sdk.events.list_async({"type": "customer.subscription.trial_will_end"})).data
    assert trial.created <= notice.created < trial.trial_end


async def test_a_trial_that_is_moved_is_announced_again(sdk: Any, shop: Shop) -> None:
    clock, trial = await on_trial(sdk, shop, card=True)
    kind = "customer.subscription.trial_will_end"
    await sdk.subscriptions.update_async(trial.id, {"trial_end": NOW + 2 * DAY})
    assert await types_of(sdk, kind) == [kind]
    await sdk.subscriptions.update_async(trial.id, {"trial_end": NOW + 9 * DAY})
    await advance(sdk, clock, NOW + 6 * DAY - 1)
    assert await types_of(sdk, kind) == [kind]
    await advance(sdk, clock, NOW + 6 * DAY)
    assert await types_of(sdk, kind) == [kind, kind]


@pytest.mark.parametrize(
    ("behaviour", "status", "event"),
    [
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("pause", "paused", "customer.subscription.paused"),
        ("create_invoice", "past_due", "invoice.payment_failed"),
    ],
)
async def test_a_trial_without_a_card_ends_as_its_settings_say(
    sdk: Any, shop: Shop, behaviour: str, status: str, event: str
) -> None:
    clock, trial = await on_trial(sdk, shop, behaviour)
    await advance(sdk, clock, trial.trial_end + HOUR)
    ended = await sdk.subscriptions.retrieve_async(trial.id)
    assert ended.status == status
    assert event in await types_of(sdk, event)
    if status == "paused":
        assert ended.status_details.paused.subscription.type == "trial_end_without_payment_method"


async def test_a_trial_ended_by_hand_is_billed_at_once(sdk: Any, shop: Shop) -> None:
    clock, trial = await on_trial(sdk, shop, card=True)
    await advance(sdk, clock, NOW + DAY)
    started = await sdk.subscriptions.update_async(trial.id, {"trial_end": "now"})
    assert (started.status, started.billing_cycle_anchor) == ("active", NOW + DAY)
    invoice = await sdk.invoices.retrieve_async(started.latest_invoice)
    assert (invoice.status, invoice.amount_paid) == ("paid", 1000)


@pytest.mark.parametrize("enum", ["min_period_end", "max_period_end"])
async def test_a_cancellation_can_wait_for_the_first_or_the_last_period(sdk: Any, shop: Shop, enum: str) -> None:
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async(
        {"customer": customer, "items": [{"price": shop.monthly}, {"price": shop.yearly}]}
    )
    ends = [item.current_period_end for item in subscription["items"].data]
    ending = await sdk.subscriptions.update_async(
        subscription.id, {"cancel_at": enum, "cancellation_details": {"feedback": "unused", "comment": "why not"}}
    )
    wanted = min(ends) if enum == "min_period_end" else max(ends)
    assert (ending.cancel_at, ending.cancel_at_period_end) == (wanted, False)
    assert ending.cancellation_details.feedback == "unused"
    await advance(sdk, clock, min(ends))
    found = await sdk.subscriptions.retrieve_async(subscription.id)
    assert found.status == ("canceled" if enum == "min_period_end" else "active")
    if found.status == "canceled":
        assert (found.ended_at, found.cancel_at) == (min(ends), min(ends))
        assert (await types_of(sdk, "customer.subscription.*"))[-1] == "customer.subscription.deleted"


async def test_a_running_subscription_can_get_a_trial_that_costs_nothing(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    wanted = {"customer": customer, "items": [{"price": shop.monthly}]}
    running = await sdk.subscriptions.create_async(wanted)
    await advance(sdk, clock, NOW + 10 * DAY)
    end = NOW + 20 * DAY
    trial = await sdk.subscriptions.update_async(running.id, {"trial_end": end, "proration_behavior": "none"})
    assert (trial.status, trial.trial_start, trial.trial_end) == ("trialing", NOW + 10 * DAY, end)
    (item,) = trial["items"].data
    assert (item.current_period_start, item.current_period_end) == (NOW + 10 * DAY, end)
    assert trial.latest_invoice == running.latest_invoice
    await advance(sdk, clock, end + HOUR)
    renewed = await sdk.subscriptions.retrieve_async(running.id)
    invoice = await sdk.invoices.retrieve_async(renewed.latest_invoice)
    assert (renewed.status, renewed.billing_cycle_anchor, invoice.amount_paid) == ("active", end, 1000)


@pytest.mark.parametrize(("behaviour", "billed"), [("create_prorations", False), ("always_invoice", True)])
async def test_a_trial_given_later_credits_what_was_paid(sdk: Any, shop: Shop, behaviour: str, billed: bool) -> None:
    clock, customer = await on_a_clock(sdk)
    running = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    await advance(sdk, clock, NOW + 10 * DAY)
    wanted = {"trial_end": NOW + 20 * DAY, "proration_behavior": behaviour}
    trial = await sdk.subscriptions.update_async(running.id, wanted)
    (credit,) = (await sdk.invoice_items.list_async({"customer": customer})).data
    assert trial.status == "trialing"
    assert -1000 < credit.amount < -600
    assert (trial.latest_invoice != running.latest_invoice) is billed


async def test_a_trial_ended_by_hand_is_announced_as_it_ends(sdk: Any, shop: Shop) -> None:
    _, trial = await on_trial(sdk, shop, card=True)
    kind = "customer.subscription.trial_will_end"
    await sdk.subscriptions.update_async(trial.id, {"trial_end": "now"})
    (notice,) = (await sdk.events.list_async({"type": kind})).data
    assert (notice.data.object.id, notice.data.object.status) == (trial.id, "active")

"""Subscription schedules: phases that begin by themselves."""

import json
from typing import Any

import pytest
import stripe

from tests.sandbox.clocks import DAY, NOW, advance, on_a_clock, types_of
from tests.sandbox.conftest import Shop, catalogue


async def subscribed(sdk: Any, shop: Shop, price: str | None = None) -> tuple[str, Any]:
    clock, customer = await on_a_clock(sdk)
    items = [{"price": price or shop.monthly, "quantity": 2}]
    return clock, await sdk.subscriptions.create_async({"customer": customer, "items": items})


async def downgraded(sdk: Any, subscription: Any, price: str) -> Any:
    """A schedule that changes the price at the end of the period."""
    schedule = await sdk.subscription_schedules.create_async({"from_subscription": subscription.id})
    now = schedule.phases[0]
    kept = [{"price": item.price, "quantity": item.quantity} for item in now["items"]]
    phases = [
        {"start_date": now.start_date, "end_date": now.end_date, "items": kept},
        {"items": [{"price": price}], "proration_behavior": "none"},
    ]
    return await sdk.subscription_schedules.update_async(schedule.id, {"phases": phases})


async def test_a_deferred_downgrade_changes_the_items_when_its_phase_begins(sdk: Any, shop: Shop) -> None:
    clock, subscription = await subscribed(sdk, shop)
    _, other, _ = await catalogue(sdk)
    schedule = await downgraded(sdk, subscription, other)
    end = subscription["items"].data[0].current_period_end
    assert (schedule.status, schedule.end_behavior) == ("active", "release")
    assert (schedule.current_phase.end_date, schedule.phases[1].start_date) == (end, end)
    waiting = await sdk.subscriptions.retrieve_async(subscription.id)
    assert waiting.schedule == schedule.id
    assert waiting["items"].data[0].price.id == shop.monthly
    await advance(sdk, clock, end + DAY)
    changed = await sdk.subscriptions.retrieve_async(subscription.id)
    item = changed["items"].data[0]
    assert (item.id, item.price.id, item.quantity) == (subscription["items"].data[0].id, other, 1)
    invoice = await sdk.invoices.retrieve_async(changed.latest_invoice)
    assert (invoice.total, invoice.billing_reason) == (1000, "subscription_cycle")
    await advance(sdk, clock, item.current_period_end + DAY)
    released = await sdk.subscription_schedules.retrieve_async(schedule.id)
    assert (released.status, released.released_subscription) == ("released", subscription.id)
    assert (released.subscription, released.current_phase) == (None, None)
    after = await sdk.subscriptions.retrieve_async(subscription.id)
    assert (after.status, after.schedule) == ("active", None)
    assert await types_of(sdk, "subscription_schedule.*") == [
        "subscription_schedule.created",
        "subscription_schedule.updated",
        "subscription_schedule.updated",
        "subscription_schedule.expiring",
        "subscription_schedule.released",
    ]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"items": [{"price": "OTHER"}]}, "items"),
        ({"cancel_at_period_end": True}, "cancel_at_period_end"),
        ({"trial_end": "now"}, "trial_end"),
    ],
)
async def test_what_a_schedule_decides_cannot_be_changed_directly(
    sdk: Any, shop: Shop, change: dict[str, Any], param: str
) -> None:
    _, subscription = await subscribed(sdk, shop)
    schedule = await downgraded(sdk, subscription, shop.yearly)
    if "items" in change:
        change = {"items": [{"id": subscription["items"].data[0].id, "quantity": 5}]}
    with pytest.raises(stripe.InvalidRequestError, match=schedule.id) as refused:
        await sdk.subscriptions.update_async(subscription.id, change)
    assert refused.value.param == param
    await sdk.subscriptions.update_async(subscription.id, {"metadata": {"still": "possible"}})
    await sdk.subscription_schedules.release_async(schedule.id)
    await sdk.subscriptions.update_async(subscription.id, change)


async def test_a_schedule_that_ends_by_cancelling_says_when(sdk: Any, shop: Shop) -> None:
    clock, subscription = await subscribed(sdk, shop)
    schedule = await sdk.subscription_schedules.create_async({"from_subscription": subscription.id})
    await sdk.subscription_schedules.update_async(schedule.id, {"end_behavior": "cancel"})
    end = subscription["items"].data[0].current_period_end
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).cancel_at == end
    await advance(sdk, clock, end)
    done = await sdk.subscription_schedules.retrieve_async(schedule.id)
    assert (done.status, done.completed_at) == ("completed", end)
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == "canceled"
    seen = await types_of(sdk, "subscription_schedule.*", "customer.subscription.deleted")
    assert seen[-2:] == ["customer.subscription.deleted", "subscription_schedule.completed"]


async def test_a_schedule_can_make_its_subscription_later(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    start = NOW + 10 * DAY
    schedule = await sdk.subscription_schedules.create_async(
        {
            "customer": customer,
            "start_date": start,
            "end_behavior": "cancel",
            "phases": [
                {"items": [{"price": shop.monthly}], "duration": {"interval": "month", "interval_count": 2}},
                {"items": [{"price": shop.monthly, "quantity": 3}], "metadata": {"phase": "second"}},
            ],
        }
    )
    assert (schedule.status, schedule.subscription, schedule.current_phase) == ("not_started", None, None)
    await advance(sdk, clock, start)
    begun = await sdk.subscription_schedules.retrieve_async(schedule.id, {"expand": ["subscription"]})
    assert (begun.status, begun.subscription.start_date) == ("active", start)
    await advance(sdk, clock, start + 50 * DAY)
    await advance(sdk, clock, schedule.phases[1].start_date)
    second = await sdk.subscriptions.retrieve_async(begun.subscription.id)
    assert (second["items"].data[0].quantity, second.metadata.phase) == (3, "second")
    assert second.cancel_at == schedule.phases[1].end_date


async def test_a_schedule_is_cancelled_with_its_subscription(sdk: Any, shop: Shop) -> None:
    _, first = await subscribed(sdk, shop)
    _, second = await subscribed(sdk, shop)
    one = await sdk.subscription_schedules.create_async({"from_subscription": first.id})
    two = await sdk.subscription_schedules.create_async({"from_subscription": second.id})
    canceled = await sdk.subscription_schedules.cancel_async(one.id)
    await sdk.subscriptions.cancel_async(second.id)
    assert (canceled.status, (await sdk.subscriptions.retrieve_async(first.id)).status) == ("canceled", "canceled")
    assert (await sdk.subscription_schedules.retrieve_async(two.id)).status == "canceled"
    for schedule in (one, two):
        with pytest.raises(stripe.InvalidRequestError, match="is canceled"):
            await sdk.subscription_schedules.release_async(schedule.id)


@pytest.mark.parametrize(
    ("phases", "param"),
    [
        ([{"items": [{"price": "price_none"}]}], "phases[0][items][0][price]"),
        ([{"items": [{"price": "MONTHLY"}], "end_date": NOW - DAY}], "phases[0][end_date]"),
    ],
)
async def test_phases_that_cannot_be_are_refused_whole(sdk: Any, shop: Shop, phases: Any, param: str) -> None:
    phases = json.loads(json.dumps(phases).replace("MONTHLY", shop.monthly))
    wanted = {"customer": shop.customer, "start_date": "now", "phases": phases}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.subscription_schedules.create_async(wanted)
    assert refused.value.param == param
    assert (await sdk.subscription_schedules.list_async()).data == []
    assert (await sdk.subscriptions.list_async({"status": "all"})).data == []


async def test_a_schedule_keeps_the_account_that_a_subscription_is_sold_for(sdk: Any, shop: Shop) -> None:
    _, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async(
        {"customer": customer, "items": [{"price": shop.monthly}], "on_behalf_of": shop.account}
    )
    schedule = await sdk.subscription_schedules.create_async({"from_subscription": subscription.id})
    assert (schedule.default_settings.on_behalf_of, schedule.phases[0].on_behalf_of) == (shop.account, shop.account)
    phases = [
        {"items": [{"price": shop.monthly}]},
        {"items": [{"price": shop.monthly}], "on_behalf_of": shop.account},
    ]
    wanted = {"customer": customer, "start_date": "now", "default_settings": {"on_behalf_of": shop.account}}
    made = await sdk.subscription_schedules.create_async({**wanted, "phases": phases, "expand": ["subscription"]})
    assert made.subscription.on_behalf_of == shop.account
    phases[1]["on_behalf_of"] = "acct_none"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.subscription_schedules.create_async({**wanted, "phases": phases})
    assert refused.value.param == "phases[1][on_behalf_of]"


async def test_a_subscription_has_one_schedule_and_the_current_phase_keeps_its_start(sdk: Any, shop: Shop) -> None:
    _, subscription = await subscribed(sdk, shop)
    schedule = await sdk.subscription_schedules.create_async({"from_subscription": subscription.id})
    with pytest.raises(stripe.InvalidRequestError, match=schedule.id):
        await sdk.subscription_schedules.create_async({"from_subscription": subscription.id})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.subscription_schedules.update_async(
            schedule.id, {"phases": [{"start_date": NOW - DAY, "items": [{"price": shop.monthly}]}]}
        )
    assert refused.value.param == "phases[0][start_date]"

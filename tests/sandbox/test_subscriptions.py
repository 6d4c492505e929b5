"""Subscriptions, their invoices, and time."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop, Wire, catalogue, client_for, connected_account, customer_with_card, start

DAY = 24 * 3600


async def subscribe(sdk: Any, shop: Shop, **params: Any) -> Any:
    values = {"customer": shop.customer, "items": [{"price": shop.monthly}]} | params
    return await sdk.subscriptions.create_async(values)


async def test_a_subscription_is_flexible_paid_and_carries_the_account(sdk: Any, shop: Shop) -> None:
    subscription = await subscribe(
        sdk,
        shop,
        items=[{"price": shop.monthly, "quantity": 3}],
        on_behalf_of=shop.account,
        transfer_data={"destination": shop.account},
        application_fee_percent=12.5,
        metadata={"tenant": "1"},
    )
    assert (subscription.status, subscription.billing_mode.type) == ("active", "flexible")
    assert subscription.application_fee_percent == 12.5
    assert subscription.transfer_data.destination == shop.account
    item = subscription["items"].data[0]
    assert 28 * DAY <= item.current_period_end - item.current_period_start <= 31 * DAY
    invoice = await sdk.invoices.retrieve_async(subscription.latest_invoice)
    assert (invoice.status, invoice.total, invoice.on_behalf_of) == ("paid", 3000, shop.account)
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert invoice.hosted_invoice_url.startswith("http://127.0.0.1")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"customer": "cus_none"}, "customer"),
        ({"items": [{"price": "price_none"}]}, "items[0][price]"),
        ({"on_behalf_of": "acct_none"}, "on_behalf_of"),
        ({"transfer_data": {"destination": "acct_none"}}, "transfer_data[destination]"),
        ({"default_payment_method": "pm_none"}, "default_payment_method"),
        ({"application_fee_percent": 5}, "application_fee_percent"),
        ({"trial_end": 1}, "trial_end"),
        ({"cancel_at": 1}, "cancel_at"),
    ],
)
async def test_what_a_subscription_cannot_be_is_refused_whole(
    sdk: Any, shop: Shop, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await subscribe(sdk, shop, **change)
    assert (refused.value.http_status, refused.value.param) == (400, param)
    assert (await sdk.subscriptions.list_async({"status": "all"})).data == []
    assert (await sdk.invoices.list_async()).data == []


async def test_without_a_card_there_is_no_subscription_but_a_trial(sdk: Any, shop: Shop) -> None:
    poor = (await sdk.customers.create_async({})).id
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        await subscribe(sdk, shop, customer=poor)
    trial = await subscribe(sdk, shop, customer=poor, trial_period_days=14)
    assert (trial.status, trial.trial_end - trial.trial_start) == ("trialing", 14 * DAY)
    assert trial["items"].data[0].current_period_end == trial.trial_end


async def test_a_card_that_declines_later_leaves_it_incomplete(sdk: Any, shop: Shop) -> None:
    risky = await customer_with_card(sdk, "pm_card_chargeCustomerFail")
    subscription = await subscribe(sdk, shop, customer=risky)
    assert subscription.status == "incomplete"
    with pytest.raises(stripe.CardError):
        await subscribe(sdk, shop, customer=risky, payment_behavior="error_if_incomplete")
    good = await sdk.payment_methods.attach_async("pm_card_visa", {"customer": risky})
    await sdk.invoices.pay_async(subscription.latest_invoice, {"payment_method": good.id})
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == "active"


async def test_a_switch_of_plan_keeps_the_item_and_tells_what_it_was(sdk: Any, shop: Shop) -> None:
    subscription = await subscribe(sdk, shop)
    item = subscription["items"].data[0]
    changed = await sdk.subscriptions.update_async(
        subscription.id, {"items": [{"id": item.id, "price": shop.yearly, "quantity": 2}]}
    )
    new = changed["items"].data[0]
    assert (new.id, new.price.id, new.quantity) == (item.id, shop.yearly, 2)
    assert new.current_period_end > item.current_period_end
    invoice = await sdk.invoices.retrieve_async(changed.latest_invoice)
    assert (invoice.billing_reason, invoice.total, invoice.status) == ("subscription_update", 18000 - 1000, "paid")
    event = (await sdk.events.list_async({"type": "customer.subscription.updated"})).data[0]
    previous = event.data.previous_attributes["items"]["data"][0]
    assert (previous["price"]["id"], previous["quantity"]) == (shop.monthly, 1)


async def test_items_are_added_and_deleted(sdk: Any, shop: Shop) -> None:
    subscription = await subscribe(sdk, shop)
    product, other, _ = await catalogue(sdk)
    added = await sdk.subscription_items.create_async({"subscription": subscription.id, "price": other, "quantity": 5})
    assert (added.price.product, added.quantity) == (product, 5)
    await sdk.subscription_items.delete_async(subscription["items"].data[0].id)
    left = (await sdk.subscription_items.list_async({"subscription": subscription.id})).data
    assert [item.id for item in left] == [added.id]
    with pytest.raises(stripe.InvalidRequestError, match="at least one"):
        await sdk.subscription_items.delete_async(added.id)


@pytest.mark.parametrize("mode", ["flexible", "classic"])
async def test_cancelling_by_api_sets_the_flag_and_the_time(sdk: Any, shop: Shop, mode: str) -> None:
    subscription = await subscribe(sdk, shop, billing_mode={"type": mode})
    assert subscription.billing_mode.type == mode
    ending = await sdk.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    assert ending.cancel_at_period_end is True
    assert ending.cancel_at == ending["items"].data[0].current_period_end
    assert ending.canceled_at is not None
    kept = await sdk.subscriptions.update_async(subscription.id, {"cancel_at_period_end": False})
    assert (kept.cancel_at, kept.cancel_at_period_end, kept.canceled_at) == (None, False, None)


async def test_cancelling_now_says_deleted_and_nothing_else(sdk: Any, shop: Shop) -> None:
    subscription = await subscribe(sdk, shop)
    gone = await sdk.subscriptions.cancel_async(subscription.id, {"cancellation_details": {"comment": "bye"}})
    assert (gone.status, gone.cancellation_details.comment) == ("canceled", "bye")
    assert gone.ended_at == gone.canceled_at
    types = [event.type for event in (await sdk.events.list_async({"types": ["customer.subscription.*"]})).data]
    assert types == ["customer.subscription.deleted", "customer.subscription.created"]
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.subscriptions.update_async(subscription.id, {"items": [{"price": shop.yearly}]})
    assert (await sdk.subscriptions.list_async()).data == []
    assert len((await sdk.subscriptions.list_async({"status": "canceled"})).data) == 1


async def test_deleting_the_customer_ends_its_subscriptions(sdk: Any, shop: Shop) -> None:
    subscription = await subscribe(sdk, shop)
    await sdk.customers.delete_async(shop.customer)
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).status == "canceled"


async def test_time_renews_ends_trials_and_cancels(http: Any, transport: stripe.AIOHTTPClient) -> None:
    """In a sandbox of its own: shifting time shifts everything in it."""
    own = start()
    try:
        sdk: Any = client_for(own.url, "sk_test_time", transport).v1
        wire = Wire(http, own.url, "sk_test_time")
        shop = Shop(await connected_account(sdk), *await catalogue(sdk), await customer_with_card(sdk))
        monthly, ending = await subscribe(sdk, shop), await subscribe(sdk, shop, cancel_at_period_end=True)
        trial = await subscribe(sdk, shop, trial_period_days=7)
        poor = (await sdk.customers.create_async({})).id
        unpaid = await subscribe(sdk, shop, customer=poor, trial_period_days=7)
        await wire.control("advance", {"seconds": 10 * DAY})
        notices = await sdk.events.list_async({"type": "customer.subscription.trial_will_end"})
        assert [event.created + 3 * DAY for event in notices.data] == [unpaid.trial_end, trial.trial_end]
        await wire.control("advance", {"seconds": 30 * DAY})
        renewed = await sdk.subscriptions.retrieve_async(monthly.id)
        old = monthly["items"].data[0].current_period_end
        assert renewed["items"].data[0].current_period_start == old
        assert renewed.latest_invoice != monthly.latest_invoice
        gone = await sdk.subscriptions.retrieve_async(ending.id)
        assert (gone.status, gone.ended_at) == ("canceled", ending.cancel_at)
        started = await sdk.subscriptions.retrieve_async(trial.id)
        since = started["items"].data[0].current_period_start - trial.trial_end
        assert (started.status, 28 * DAY <= since <= 31 * DAY) == ("active", True)
        given_up = await sdk.subscriptions.retrieve_async(unpaid.id)
        assert (given_up.status, given_up.cancellation_details.reason) == ("canceled", "payment_failed")
        events = [row async for row in (await sdk.events.list_async({"limit": 100})).auto_paging_iter()]
        times = [event.created for event in reversed(events)]
        assert times == sorted(times)
        ends = {e.data.object.id: e.created for e in events if e.type == "customer.subscription.deleted"}
        assert ends == {ending.id: ending.cancel_at, unpaid.id: given_up.ended_at}
        assert all(e.request.id is None for e in events if e.created > monthly.created + DAY)
    finally:
        own.stop()

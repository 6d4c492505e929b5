"""Test clocks: time that moves when it is told to, for the customers on it alone."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.sandbox.clocks import DAY, NOW, advance, on_a_clock, set_billing, types_of
from tests.sandbox.conftest import Shop, Wire, catalogue, client_for, customer_with_card, start


async def test_a_renewal_drafts_then_finalises_after_an_hour(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    first = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    assert (first.created, first.test_clock, first.status) == (NOW, clock, "active")
    end = first["items"].data[0].current_period_end
    await advance(sdk, clock, end + 10)
    renewed = await sdk.subscriptions.retrieve_async(first.id)
    draft = await sdk.invoices.retrieve_async(renewed.latest_invoice)
    assert renewed["items"].data[0].current_period_start == end
    assert (draft.status, draft.billing_reason, draft.number) == ("draft", "subscription_cycle", None)
    assert draft.automatically_finalizes_at == end + 3600
    await advance(sdk, clock, end + 3601)
    paid = await sdk.invoices.retrieve_async(draft.id)
    assert (paid.status, paid.amount_paid, paid.status_transitions.paid_at) == ("paid", 1000, end + 3600)
    seen = await types_of(sdk, "invoice.*", "customer.subscription.updated")
    assert seen[-7:] == [
        "invoice.upcoming",
        "invoice.created",
        "customer.subscription.updated",
        "invoice.finalized",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]


async def test_what_is_on_a_clock_is_listed_only_when_it_is_asked_for(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    assert (await sdk.subscriptions.list_async()).data == []
    assert (await sdk.invoices.list_async()).data == []
    assert [row.id for row in (await sdk.customers.list_async()).data] == [shop.customer]
    for params in ({"customer": customer}, {"test_clock": clock}):
        assert [row.id for row in (await sdk.subscriptions.list_async(params)).data] == [subscription.id]
    assert len((await sdk.invoices.list_async({"subscription": subscription.id})).data) == 1
    assert [row.id for row in (await sdk.customers.list_async({"test_clock": clock})).data] == [customer]


async def test_a_clock_has_room_for_three_customers_with_three_subscriptions(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    for _ in range(2):
        await sdk.customers.create_async({"test_clock": clock})
    with pytest.raises(stripe.InvalidRequestError, match="at most 3 customers"):
        await sdk.customers.create_async({"test_clock": clock})
    wanted = {"customer": customer, "items": [{"price": shop.monthly}]}
    for _ in range(3):
        await sdk.subscriptions.create_async(wanted)
    with pytest.raises(stripe.InvalidRequestError, match="at most 3 subscriptions"):
        await sdk.subscriptions.create_async(wanted)


async def test_a_clock_moves_forward_by_two_intervals_at_most(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    for wrong in (NOW, NOW - 1, NOW + 63 * DAY):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            await sdk.test_helpers.test_clocks.advance_async(clock, {"frozen_time": wrong})
        assert refused.value.param == "frozen_time"
    await advance(sdk, clock, NOW + 58 * DAY)


async def test_while_a_clock_moves_its_objects_cannot_be_changed(sdk: Any, shop: Shop, wire: Wire) -> None:
    await set_billing(wire, advance_pace=0.3)
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    await sdk.test_helpers.test_clocks.advance_async(clock, {"frozen_time": NOW + 32 * DAY})
    text = f"Test clock advancement underway - cannot perform modifications: {clock}"
    for call in (
        sdk.subscriptions.update_async(subscription.id, {"metadata": {"a": "b"}}),
        sdk.customers.update_async(customer, {"name": "Ann"}),
        sdk.payment_methods.attach_async("pm_card_visa", {"customer": customer}),
        sdk.subscription_items.update_async(subscription["items"].data[0].id, {"quantity": 2}),
        sdk.invoices.void_invoice_async(subscription.latest_invoice),
        sdk.test_helpers.test_clocks.delete_async(clock),
    ):
        with pytest.raises(stripe.RateLimitError) as refused:
            await call
        assert (refused.value.http_status, refused.value.error.message) == (429, text)
    assert (await sdk.subscriptions.retrieve_async(subscription.id)).metadata.to_dict() == {}
    await sdk.customers.update_async(shop.customer, {"name": "not on the clock"})
    async with asyncio.timeout(10):
        while (await sdk.test_helpers.test_clocks.retrieve_async(clock)).status != "ready":
            await asyncio.sleep(0.05)
    await sdk.subscriptions.update_async(subscription.id, {"metadata": {"a": "b"}})


async def test_webhooks_arrive_while_the_clock_moves(sdk: Any, shop: Shop, wire: Wire, receivers: Any) -> None:
    await set_billing(wire, advance_pace=0.2)
    receiver = await receivers()
    clock, customer = await on_a_clock(sdk)
    await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    await sdk.webhook_endpoints.create_async({"url": receiver.url, "enabled_events": ["*"]})
    await sdk.test_helpers.test_clocks.advance_async(clock, {"frozen_time": NOW + 32 * DAY})
    await receiver.wait_for(3)
    assert receiver.types()[0] == "test_helpers.test_clock.advancing"
    assert "invoice.upcoming" in receiver.types()
    assert (await sdk.test_helpers.test_clocks.retrieve_async(clock)).status == "advancing"
    async with asyncio.timeout(10):
        while "test_helpers.test_clock.ready" not in receiver.types():
            await asyncio.sleep(0.05)
    assert "invoice.paid" in receiver.types()


async def test_clocks_do_not_move_each_other_nor_anything_else(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    _, other = await on_a_clock(sdk, at=NOW - 400 * DAY)
    items = [{"price": shop.monthly}]
    kept = [await sdk.subscriptions.create_async({"customer": each, "items": items}) for each in (other, shop.customer)]
    assert kept[0].created == NOW - 400 * DAY
    await sdk.subscriptions.create_async({"customer": customer, "items": items})
    await advance(sdk, clock, NOW + 40 * DAY)
    for subscription in kept:
        found = await sdk.subscriptions.retrieve_async(subscription.id)
        assert found.latest_invoice == subscription.latest_invoice


async def test_a_deleted_clock_takes_its_objects_along(sdk: Any, shop: Shop) -> None:
    clock, customer = await on_a_clock(sdk)
    subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": shop.monthly}]})
    gone = await sdk.test_helpers.test_clocks.delete_async(clock)
    assert gone.deleted is True
    for call in (
        sdk.test_helpers.test_clocks.retrieve_async(clock),
        sdk.customers.retrieve_async(customer),
        sdk.subscriptions.retrieve_async(subscription.id),
        sdk.invoices.retrieve_async(subscription.latest_invoice),
    ):
        with pytest.raises(stripe.InvalidRequestError):
            await call
    assert (await sdk.customers.retrieve_async(shop.customer)).id == shop.customer
    assert (await types_of(sdk, "test_helpers.*"))[-1] == "test_helpers.test_clock.deleted"


@pytest.mark.slow
async def test_a_clock_that_a_killed_sandbox_left_on_its_way_arrives(
    database: Path, transport: stripe.AIOHTTPClient, http: Any
) -> None:
    own = start("--data", str(database))
    key = "sk_test_moving"
    try:
        sdk: Any = client_for(own.url, key, transport).v1
        await set_billing(Wire(http, own.url, key), advance_pace=0.3)
        _, price, _ = await catalogue(sdk)
        clock, customer = await on_a_clock(sdk)
        subscription = await sdk.subscriptions.create_async({"customer": customer, "items": [{"price": price}]})
        await sdk.test_helpers.test_clocks.advance_async(clock, {"frozen_time": NOW + 32 * DAY})
        await asyncio.sleep(0.1)
        own.stop(kill=True)
        own = start("--data", str(database))
        sdk = client_for(own.url, key, transport).v1
        async with asyncio.timeout(10):
            while (await sdk.test_helpers.test_clocks.retrieve_async(clock)).status != "ready":
                await asyncio.sleep(0.05)
        invoices = (await sdk.invoices.list_async({"customer": customer})).data
        assert [invoice.status for invoice in invoices] == ["paid", "paid"]
        assert (await sdk.subscriptions.retrieve_async(subscription.id)).latest_invoice == invoices[0].id
        assert await types_of(sdk, "invoice.upcoming") == ["invoice.upcoming"]
    finally:
        own.stop()


async def test_a_new_customer_can_be_put_on_a_clock_one_with_subscriptions_cannot(sdk: Any, shop: Shop) -> None:
    new = await customer_with_card(sdk)
    clock = await sdk.test_helpers.test_clocks.create_async({"frozen_time": NOW, "customer": new})
    assert (await sdk.customers.retrieve_async(new)).test_clock == clock.id
    await sdk.subscriptions.create_async({"customer": shop.customer, "items": [{"price": shop.monthly}]})
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.test_helpers.test_clocks.create_async({"frozen_time": NOW, "customer": shop.customer})
    assert refused.value.param == "customer"
    clocks = (await sdk.test_helpers.test_clocks.list_async()).data
    assert [row.id for row in clocks] == [clock.id]


async def test_a_clock_is_deleted_after_thirty_days_of_the_sandbox(wire: Wire) -> None:
    own = start()
    try:
        wire.url = own.url
        clock = (await wire.post("/v1/test_helpers/test_clocks", f"frozen_time={NOW - 300 * DAY}")).body
        customer = (await wire.post("/v1/customers", f"test_clock={clock['id']}")).body["id"]
        await wire.control("advance", {"seconds": 29 * DAY})
        assert (await wire.get(f"/v1/customers/{customer}")).status == 200
        await wire.control("advance", {"seconds": DAY})
        for path in (f"/v1/customers/{customer}", f"/v1/test_helpers/test_clocks/{clock['id']}"):
            assert (await wire.get(path)).status == 404
        (event,) = (await wire.get("/v1/events?type=test_helpers.test_clock.deleted")).body["data"]
        assert event["created"] == clock["deletes_after"]
    finally:
        own.stop()

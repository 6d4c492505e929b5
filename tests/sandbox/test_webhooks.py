"""Events and their deliveries: who gets them, how they are signed, what happens when they fail."""

import asyncio
import json
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Receiver, Shop, Wire, connected_account


async def listen(sdk: Any, receiver: Receiver, **params: Any) -> Any:
    values = {"url": receiver.url, "enabled_events": ["*"]} | params
    return await sdk.webhook_endpoints.create_async(values)


async def test_the_secret_is_told_once_and_connect_never(sdk: Any, receivers: Any) -> None:
    made = await listen(sdk, await receivers(), connect=True)
    assert made.secret.startswith("whsec_")
    assert "connect" not in made
    again = await sdk.webhook_endpoints.retrieve_async(made.id)
    assert "secret" not in again
    assert "connect" not in again


async def test_a_delivery_is_signed_over_its_exact_bytes(sdk: Any, receivers: Any) -> None:
    receiver = await receivers()
    endpoint = await listen(sdk, receiver)
    customer = await sdk.customers.create_async({"name": "Ann"}, {"idempotency_key": "key-1"})
    (delivery,) = await receiver.wait_for(1)
    header = delivery.headers["Stripe-Signature"]
    event = stripe.Webhook.construct_event(delivery.body, header, endpoint.secret)
    assert (event.type, event.data.object["id"]) == ("customer.created", customer.id)
    assert (event.api_version, event.livemode, event.pending_webhooks) == (stripe.api_version, False, 1)
    assert event.request is not None
    assert event.request.idempotency_key == "key-1"
    assert event.request.id == customer.last_response.request_id
    assert "account" not in delivery.event
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header((delivery.body + b" ").decode(), header, endpoint.secret, 300)
    listed = (await sdk.events.retrieve_async(event.id)).to_dict(for_json=True)
    assert listed["data"] == delivery.event["data"]


async def test_platform_and_connect_endpoints_get_their_own(sdk: Any, receivers: Any) -> None:
    platform, connect = await receivers(), await receivers()
    await listen(sdk, platform)
    await listen(sdk, connect, connect=True)
    account = await connected_account(sdk)
    await sdk.customers.create_async({"name": "theirs"}, {"stripe_account": account})
    await sdk.customers.create_async({"name": "ours"})
    await connect.wait_for(2)
    await platform.wait_for(1)
    assert {delivery.event["account"] for delivery in connect.received} == {account}
    assert sorted(connect.types()) == ["account.application.authorized", "customer.created"]
    assert [delivery.event["data"]["object"]["name"] for delivery in platform.received] == ["ours"]


async def test_leaving_is_told_to_the_connect_endpoint(sdk: Any, wire: Wire, receivers: Any) -> None:
    account = await connected_account(sdk)
    connect = await receivers()
    await listen(sdk, connect, connect=True, enabled_events=["account.application.deauthorized"])
    await wire.post("/oauth/deauthorize", f"client_id=ca_x&stripe_user_id={account}")
    (delivery,) = await connect.wait_for(1)
    assert (delivery.event["account"], delivery.event["data"]["object"]["object"]) == (account, "application")


async def test_an_endpoint_gets_the_types_it_asked_for(sdk: Any, receivers: Any, shop: Shop) -> None:
    receiver = await receivers()
    await listen(sdk, receiver, enabled_events=["customer.subscription.created", "invoice.paid"])
    await sdk.subscriptions.create_async({"customer": shop.customer, "items": [{"price": shop.monthly}]})
    await receiver.wait_for(2)
    await asyncio.sleep(0.2)
    assert sorted(receiver.types()) == ["customer.subscription.created", "invoice.paid"]


@pytest.mark.parametrize("answer", [500, 302, 404])
async def test_a_failed_delivery_is_tried_again_and_signed_anew(sdk: Any, receivers: Any, answer: int) -> None:
    receiver = await receivers()
    endpoint = await listen(sdk, receiver)
    receiver.answers = [answer]
    await sdk.customers.create_async({"name": "Ann"})
    first, second = await receiver.wait_for(2)
    assert first.event["id"] == second.event["id"]
    stripe.WebhookSignature.verify_header(
        second.body.decode(), second.headers["Stripe-Signature"], endpoint.secret, 300
    )
    async with asyncio.timeout(5):
        while (await sdk.events.retrieve_async(first.event["id"])).pending_webhooks:
            await asyncio.sleep(0.05)


async def test_a_disabled_endpoint_is_left_alone(sdk: Any, receivers: Any) -> None:
    receiver = await receivers()
    receiver.answers = [500, 500, 500]
    endpoint = await listen(sdk, receiver)
    await sdk.customers.create_async({"name": "Ann"})
    await receiver.wait_for(1)
    await sdk.webhook_endpoints.update_async(endpoint.id, {"disabled": True})
    await sdk.customers.create_async({"name": "Bob"})
    await asyncio.sleep(0.5)
    assert len(receiver.received) == 1


async def test_deliveries_are_dropped_doubled_and_reordered_on_request(sdk: Any, wire: Wire, receivers: Any) -> None:
    receiver = await receivers()
    await listen(sdk, receiver)
    await wire.control("faults", {"deliveries": {"next": 1, "action": "drop"}})
    lost = await sdk.customers.create_async({"name": "lost"})
    await asyncio.sleep(0.2)
    await wire.control("faults", {"deliveries": {"next": 1, "action": "duplicate"}})
    await sdk.customers.create_async({"name": "twice"})
    one, two = await receiver.wait_for(2)
    assert one.event["id"] == two.event["id"]
    await wire.control("faults", {"deliveries": {"next": 3, "action": "reorder", "seconds": 0.1}})
    for name in "abc":
        await sdk.customers.create_async({"name": name})
    await receiver.wait_for(5)
    assert [d.event["data"]["object"]["name"] for d in receiver.received[2:]] == ["c", "b", "a"]
    assert lost.id not in {d.event["data"]["object"]["id"] for d in receiver.received}
    missed = (await sdk.events.list_async({"delivery_success": False})).data
    assert [event.data.object["id"] for event in missed] == [lost.id]


async def test_an_event_is_sent_again_on_request(sdk: Any, wire: Wire, receivers: Any) -> None:
    receiver = await receivers()
    endpoint = await listen(sdk, receiver)
    await sdk.customers.create_async({"name": "Ann"})
    (first,) = await receiver.wait_for(1)
    reply = await wire.post(f"/v1/events/{first.event['id']}/retry", f"webhook_endpoint={endpoint.id}")
    assert (reply.status, reply.body["id"]) == (200, first.event["id"])
    again = (await receiver.wait_for(2))[1]
    assert again.event["data"] == first.event["data"]


async def test_events_are_found_by_type_and_time(sdk: Any) -> None:
    customer = await sdk.customers.create_async({"name": "Ann", "metadata": {"a": "1"}})
    await sdk.customers.update_async(customer.id, {"name": "Bob", "metadata": {"b": "2"}})
    await sdk.customers.update_async(customer.id, {"name": "Bob"})
    await sdk.products.create_async({"name": "Gold"})
    listed = (await sdk.events.list_async({"types": ["customer.*"]})).data
    assert [event.type for event in listed] == ["customer.updated", "customer.created"]
    previous = json.loads(str(listed[0].data.previous_attributes))
    assert previous == {"name": "Ann", "metadata": {"b": None}}
    assert (await sdk.events.list_async({"created": {"gt": listed[0].created + 5}})).data == []


async def test_nothing_happens_to_other_keys(sdk: Any, wire: Wire) -> None:
    await sdk.customers.create_async({"name": "Ann"})
    wire.key = "sk_test_somebody_else"
    assert (await wire.get("/v1/events")).body["data"] == []

"""The V2 API: event destinations, thin events, and what they tell."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Delivery, Receiver, Shop, Wire, client_for, connected_account


@pytest.fixture
def client(url: str, key: str, transport: stripe.AIOHTTPClient) -> stripe.StripeClient:
    return client_for(url, key, transport)


async def destination(client: stripe.StripeClient, receiver: Receiver, *types: str, **params: Any) -> Any:
    values: Any = {
        "name": "ours",
        "type": "webhook_endpoint",
        "event_payload": "thin",
        "enabled_events": list(types),
        "webhook_endpoint": {"url": receiver.url},
        "include": ["webhook_endpoint.signing_secret"],
    }
    return await client.v2.core.event_destinations.create_async(values | params)


def notified(client: stripe.StripeClient, delivery: Delivery, made: Any) -> Any:
    secret = made.webhook_endpoint.signing_secret
    return client.parse_event_notification(delivery.body, delivery.headers["Stripe-Signature"], secret)


async def test_a_destination_tells_its_secret_once_and_its_url_on_request(client: Any, receivers: Any) -> None:
    receiver = await receivers()
    made = await destination(client, receiver, "v1.customer.created", description="all of it", metadata={"a": "1"})
    assert made.webhook_endpoint.signing_secret.startswith("whsec_")
    assert (made.events_from, made.snapshot_api_version, made.status) == (["@self"], None, "enabled")
    service = client.v2.core.event_destinations
    plain = await service.retrieve_async(made.id)
    assert plain.webhook_endpoint is None
    assert (plain.description, plain.metadata.to_dict()) == ("all of it", {"a": "1"})
    told = await service.retrieve_async(made.id, {"include": ["webhook_endpoint.url"]})
    assert (told.webhook_endpoint.url, told.webhook_endpoint.signing_secret) == (receiver.url, None)
    changed = await service.update_async(made.id, {"name": "new", "metadata": {"a": None, "b": "2"}})
    assert (changed.name, changed.metadata.to_dict()) == ("new", {"b": "2"})
    await service.delete_async(made.id)
    with pytest.raises(stripe.InvalidRequestError, match="No such"):
        await service.retrieve_async(made.id)


async def test_endpoints_of_the_v1_api_are_destinations_too(client: Any, receivers: Any) -> None:
    receiver = await receivers()
    made = await client.v1.webhook_endpoints.create_async({"url": receiver.url, "enabled_events": ["*"]})
    await destination(client, receiver, "v1.customer.created")
    listed = await client.v2.core.event_destinations.list_async({"limit": 1})
    found = [each async for each in listed.auto_paging_iter()]
    assert [each.event_payload for each in found] == ["thin", "snapshot"]
    assert found[1].id == made.id
    await client.v2.core.event_destinations.disable_async(made.id)
    assert (await client.v1.webhook_endpoints.retrieve_async(made.id)).status == "disabled"


async def test_thin_events_come_signed_and_are_fetched(client: Any, receivers: Any) -> None:
    receiver = await receivers()
    made = await destination(client, receiver, "v1.customer.created", "v1.customer.updated")
    customer = await client.v1.customers.create_async({"name": "Ann"}, {"idempotency_key": "key-1"})
    await receiver.wait_for(1)
    await client.v1.customers.update_async(customer.id, {"name": "Bob"})
    created, updated = (notified(client, delivery, made) for delivery in await receiver.wait_for(2))
    assert (created.type, created.related_object.id) == ("v1.customer.created", customer.id)
    assert created.related_object.url == f"/v1/customers/{customer.id}"
    assert created.reason.request.idempotency_key == "key-1"
    event = await client.v2.core.events.retrieve_async(updated.id)
    assert event.changes.to_dict() == {"before": {"name": "Ann"}, "after": {"name": "Bob"}}
    snapshot = await client.v1.events.retrieve_async(event.snapshot_event)
    assert (snapshot.type, snapshot.data.object["name"]) == ("customer.updated", "Bob")


async def test_finer_events_tell_what_changed_of_a_subscription(client: Any, shop: Shop) -> None:
    sub = await client.v1.subscriptions.create_async({"customer": shop.customer, "items": [{"price": shop.monthly}]})
    item = sub["items"].data[0].id
    await client.v1.subscriptions.update_async(
        sub.id, {"items": [{"id": item, "quantity": 3}], "proration_behavior": "none"}
    )
    await client.v1.subscriptions.update_async(
        sub.id, {"items": [{"id": item, "price": shop.yearly}], "proration_behavior": "none"}
    )
    await client.v1.subscriptions.update_async(sub.id, {"cancel_at_period_end": True})
    await client.v1.prices.update_async(shop.monthly, {"active": False})
    listed = await client.v2.core.events.list_async({"object_id": sub.id, "limit": 50})
    types = {event.type.removeprefix("v1.customer.subscription.") for event in listed.data}
    assert types >= {"created", "updated", "item_quantity_changed", "item_price_changed", "cancel_at_changed"}
    (quantity,) = (event for event in listed.data if event.type.endswith("item_quantity_changed"))
    assert quantity.changes.to_dict() == {
        "before": {"item": item, "quantity": 1},
        "after": {"item": item, "quantity": 3},
    }
    off = await client.v2.core.events.list_async({"object_id": shop.monthly, "types": ["v1.price.deactivated"]})
    assert len(off.data) == 1
    none = await client.v2.core.events.list_async({"object_id": sub.id, "created": {"lt": "2020-01-01T00:00:00Z"}})
    assert none.data == []


async def test_a_destination_hears_of_the_accounts_it_names(client: Any, receivers: Any) -> None:
    own, theirs = await receivers(), await receivers()
    await destination(client, own, "customer.created", event_payload="snapshot")
    made = await destination(client, theirs, "v1.customer.created", events_from=["@accounts"])
    account = await connected_account(client.v1)
    await client.v1.customers.create_async({"name": "theirs"}, {"stripe_account": account})
    await client.v1.customers.create_async({"name": "ours"})
    (snapshot,) = await own.wait_for(1)
    assert snapshot.event["data"]["object"]["name"] == "ours"
    notification = notified(client, (await theirs.wait_for(1))[0], made)
    assert str(notification.context) == account
    event = await client.v2.core.events.retrieve_async(notification.id, options={"stripe_context": account})
    assert event.context == account


async def test_a_ping_comes_whatever_the_destination_is_enabled_for(client: Any, receivers: Any) -> None:
    receiver = await receivers()
    made = await destination(client, receiver, "v1.customer.created")
    pinged = await client.v2.core.event_destinations.ping_async(made.id)
    notification = notified(client, (await receiver.wait_for(1))[0], made)
    assert (notification.id, notification.type) == (pinged.id, "v2.core.event_destination.ping")
    assert (await client.v2.core.events.retrieve_async(pinged.id)).type == notification.type


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ('{"name": "a", "type": "webhook_endpoint", "event_payload": "thin"}', "enabled_events"),
        ('{"name": "a", "type": "pigeon", "event_payload": "thin", "enabled_events": []}', "type"),
        (
            '{"name": "a", "type": "webhook_endpoint", "event_payload": "thin", "enabled_events": []}',
            "webhook_endpoint",
        ),
        (
            '{"name": "a", "type": "webhook_endpoint", "event_payload": "thin", "enabled_events": ["customer.created"],'
            ' "webhook_endpoint": {"url": "https://example.com"}}',
            "enabled_events",
        ),
        ('{"wings": 2}', "wings"),
        ("[]", None),
        ("{", None),
    ],
)
async def test_odd_destinations_are_refused(wire: Wire, body: str, param: str | None) -> None:
    reply = await wire.post("/v2/core/event_destinations", body, Content_Type="application/json")
    assert (reply.status, reply.error.get("param")) == (400, param)
    assert (await wire.get("/v2/core/event_destinations")).body["data"] == []

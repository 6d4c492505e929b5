"""Cards kept for later: setup intents, and the card sources of older integrations."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Shop, Wire


async def test_a_confirmed_intent_attaches_its_card(sdk: Any) -> None:
    customer = await sdk.customers.create_async({"name": "Ann"})
    intent = await sdk.setup_intents.create_async({"customer": customer.id})
    assert (intent.status, intent.usage) == ("requires_payment_method", "off_session")
    done = await sdk.setup_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert done.status == "succeeded"
    (method,) = (await sdk.payment_methods.list_async({"customer": customer.id})).data
    assert method.id == done.payment_method
    types = [event.type for event in (await sdk.events.list_async()).data]
    assert types[:2] == ["setup_intent.succeeded", "payment_method.attached"]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sdk.setup_intents.cancel_async(intent.id)
    assert refused.value.code == "setup_intent_unexpected_state"


async def test_a_declined_card_is_not_kept(sdk: Any) -> None:
    customer = await sdk.customers.create_async({"name": "Ann"})
    with pytest.raises(stripe.CardError, match="declined"):
        await sdk.setup_intents.create_async(
            {"customer": customer.id, "payment_method": "pm_card_chargeDeclined", "confirm": True}
        )
    assert (await sdk.payment_methods.list_async({"customer": customer.id})).data == []
    (intent,) = (await sdk.setup_intents.list_async({"customer": customer.id})).data
    assert (intent.status, intent.last_setup_error.code) == ("requires_payment_method", "card_declined")
    (failed,) = (await sdk.events.list_async({"type": "setup_intent.setup_failed"})).data
    assert failed.data.object.id == intent.id


async def test_an_intent_without_a_card_cannot_be_confirmed(wire: Wire) -> None:
    made = await wire.post("/v1/setup_intents")
    reply = await wire.post(f"/v1/setup_intents/{made.body['id']}/confirm")
    assert (reply.status, reply.error["param"]) == (400, "payment_method")
    assert (await wire.post(f"/v1/setup_intents/{made.body['id']}/cancel")).body["status"] == "canceled"


async def test_a_source_pays_for_a_subscription(wire: Wire, shop: Shop) -> None:
    customer = (await wire.post("/v1/customers", "source=tok_visa")).body
    assert customer["default_source"].startswith("card_")
    made = await wire.post("/v1/subscriptions", f"customer={customer['id']}&items[0][price]={shop.monthly}")
    assert made.body["status"] == "active"


async def test_sources_belong_to_their_customer(wire: Wire, shop: Shop) -> None:
    customer = (await wire.post("/v1/customers", "name=Ann")).body
    path = f"/v1/customers/{customer['id']}/sources"
    first, second = [(await wire.post(path, "source=tok_visa")).body for _ in range(2)]
    assert (first["brand"], first["last4"]) == ("Visa", "4242")
    changed = await wire.post(f"{path}/{first['id']}", "metadata[a]=b&exp_year=2040")
    assert (changed.body["metadata"], changed.body["exp_year"]) == ({"a": "b"}, 2040)
    assert [row["id"] for row in (await wire.get(path)).body["data"]] == [second["id"], first["id"]]
    assert (await wire.get(f"/v1/customers/{shop.customer}/sources/{first['id']}")).status == 404
    assert (await wire.send("DELETE", f"{path}/{first['id']}")).body["deleted"] is True
    assert (await wire.get(f"/v1/customers/{customer['id']}")).body["default_source"] == second["id"]
    assert (await wire.post(path, "source=tok_nothing")).error["param"] == "source"

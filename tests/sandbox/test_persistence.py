"""With a file, a sandbox that was killed goes on as if nothing had happened."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stripe

from colonnade_sandbox.store import Store
from tests.sandbox.conftest import Shop, Wire, catalogue, client_for, connected_account, customer_with_card, start

KEY = "sk_test_kept"


@pytest.mark.slow
async def test_everything_survives_a_kill(
    http: aiohttp.ClientSession, transport: stripe.AIOHTTPClient, receivers: Any, database: Path
) -> None:
    receiver = await receivers()
    receiver.answers = [500]
    first = start("--data", str(database), "--retry-scale", "0.0002")
    sdk: Any = client_for(first.url, KEY, transport).v1
    endpoint = await sdk.webhook_endpoints.create_async(
        {"url": receiver.url, "enabled_events": ["customer.subscription.created"]}
    )
    shop = Shop(await connected_account(sdk), *await catalogue(sdk), await customer_with_card(sdk))
    subscription = await sdk.subscriptions.create_async(
        {"customer": shop.customer, "items": [{"price": shop.monthly}], "on_behalf_of": shop.account}
    )
    made = await Wire(http, first.url, KEY).post("/v1/customers", "name=Ann", Idempotency_Key="k")
    await Wire(http, first.url, KEY).control("advance", {"seconds": 3600})
    await receiver.wait_for(1)
    first.stop(kill=True)

    second = start("--data", str(database), "--retry-scale", "0.0002")
    try:
        sdk = client_for(second.url, KEY, transport).v1
        again = await sdk.subscriptions.retrieve_async(subscription.id)
        assert again.to_dict(for_json=True) == subscription.to_dict(for_json=True)
        assert (await sdk.accounts.retrieve_async(shop.account)).business_profile.name == "Aurora"
        # The delivery that had failed arrives now, signed with the secret of before.
        delivery = (await receiver.wait_for(2))[1]
        stripe.WebhookSignature.verify_header(
            delivery.body.decode(), delivery.headers["Stripe-Signature"], endpoint.secret, 300
        )
        wire = Wire(http, second.url, KEY)
        replayed = await wire.post("/v1/customers", "name=Ann", Idempotency_Key="k")
        assert (replayed.body, replayed.headers["idempotent-replayed"]) == (made.body, "true")
        assert (await wire.post("/v1/customers", "name=Late")).body["created"] >= made.body["created"] + 3600
        newest = [row.id for row in (await sdk.customers.list_async()).data]
        assert newest[1:] == [made.body["id"], shop.customer]
    finally:
        second.stop()


def test_a_failed_transaction_leaves_memory_and_file_as_they_were(database: Path) -> None:
    store = Store(database)
    with store.transaction():
        store.put("a", "thing", "1", {"id": "1"})
    try:
        with store.transaction():
            store.put("a", "thing", "1", {"id": "changed"})
            store.put("a", "thing", "2", {"id": "2"})
            store.delete("a", "thing", "1")
            raise LookupError
    except LookupError:
        pass
    assert list(store.all("a", "thing")) == [{"id": "1"}]
    store.close()
    again = Store(database)
    assert list(again.all("a", "thing")) == [{"id": "1"}]
    again.close()


def test_an_inner_transaction_is_undone_alone(database: Path) -> None:
    store = Store(database)
    with store.transaction():
        store.put("a", "thing", "1", {"id": "1"})
        try:
            with store.transaction():
                store.put("a", "thing", "1", {"id": "changed"})
                store.put("a", "thing", "2", {"id": "2"})
                raise LookupError
        except LookupError:
            pass
        store.put("a", "thing", "3", {"id": "3"})
    store.close()
    again = Store(database)
    assert [row["id"] for row in again.all("a", "thing")] == ["3", "1"]
    again.close()

"""Deliveries under trouble: retries, rolled secrets, disturbance by seed, clocks that are off."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import stripe
from aiohttp import web

from tests.sandbox.conftest import Delivery, Receiver, Shop, Wire, connected_account, start
from tests.sandbox.test_webhooks import listen


async def control(wire: Wire, method: str, path: str, value: Any = None, **query: str) -> Any:
    headers = {"Authorization": f"Bearer {wire.key}"}
    url = f"{wire.url}/_sandbox/{path}"
    async with wire.session.request(method, url, json=value, params=query, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


@pytest.fixture
async def calm(wire: Wire) -> AsyncIterator[None]:
    """Ends the faults that a test asked for, since all tests share the process."""
    yield
    await control(wire, "DELETE", "faults")


def verify(delivery: Delivery, secret: str) -> None:
    stripe.WebhookSignature.verify_header(delivery.body.decode(), delivery.headers["Stripe-Signature"], secret, 300)


async def test_both_secrets_sign_while_one_is_rolled(sdk: Any, wire: Wire, receivers: Any) -> None:
    receiver: Receiver = await receivers()
    made = await listen(sdk, receiver)
    rolled = await control(wire, "POST", "secrets", {"id": made.id, "expires_in": 3600})
    await sdk.customers.create_async({"name": "Ann"})
    (both,) = await receiver.wait_for(1)
    assert both.headers["Stripe-Signature"].count("v1=") == 2
    verify(both, made.secret)
    verify(both, rolled["secret"])
    final = await control(wire, "POST", "secrets", {"id": made.id})
    await sdk.customers.create_async({"name": "Bob"})
    one = (await receiver.wait_for(2))[1]
    verify(one, final["secret"])
    for old in (made.secret, rolled["secret"]):
        with pytest.raises(stripe.SignatureVerificationError):
            verify(one, old)


async def test_an_endpoint_keeps_its_version(sdk: Any, receivers: Any) -> None:
    receiver: Receiver = await receivers()
    made = await listen(sdk, receiver, api_version="2025-03-31.basil")
    assert made.api_version == "2025-03-31.basil"
    await sdk.customers.create_async({"name": "Ann"})
    (delivery,) = await receiver.wait_for(1)
    assert delivery.event["api_version"] == "2025-03-31.basil"


async def test_tries_end_and_the_event_stays_undelivered(sdk: Any, wire: Wire, receivers: Any) -> None:
    receiver: Receiver = await receivers()
    made = await listen(sdk, receiver)
    receiver.answers = [410, 500, 301, 404]
    await sdk.customers.create_async({"name": "Ann"})
    deliveries = await receiver.wait_for(4)
    for delivery in deliveries:
        verify(delivery, made.secret)
    rows = (await control(wire, "GET", "attempts", target=made.id))["data"]
    assert [(row["attempt"], row["status"]) for row in rows][:3] == [(1, 410), (2, 500), (3, 301)]
    await asyncio.sleep(0.3)
    assert len(receiver.received) == 4
    (missed,) = (await sdk.events.list_async({"delivery_success": False})).data
    assert missed.pending_webhooks == 1
    assert await control(wire, "POST", "deliveries", {"event": missed.id}) == {"deliveries": 1}
    await receiver.wait_for(5)
    async with asyncio.timeout(5):
        while (await sdk.events.list_async({"delivery_success": False})).data:
            await asyncio.sleep(0.05)


async def test_a_slow_endpoint_has_failed(wire: Wire) -> None:
    process = start("--delivery-timeout", "0.3", "--retry-scale", "0.0001")
    arrived: list[int] = []

    async def slow(request: web.Request) -> web.Response:
        arrived.append(1)
        await asyncio.sleep(0.8 if len(arrived) == 1 else 0)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", slow)
    runner = web.AppRunner(app)
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        wire.url = process.url
        target = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        await wire.post("/v1/webhook_endpoints", f"url={target}&enabled_events[]=*")
        await wire.post("/v1/customers", "name=Ann")
        async with asyncio.timeout(10):
            while (await wire.get("/v1/events")).body["data"][0]["pending_webhooks"]:
                await asyncio.sleep(0.05)
        rows = (await control(wire, "GET", "attempts"))["data"]
        assert [row["status"] for row in rows] == [None, 200]
    finally:
        await runner.cleanup()
        process.stop()


@pytest.mark.usefixtures("calm")
async def test_the_same_seed_disturbs_the_same_deliveries(sdk: Any, wire: Wire, receivers: Any) -> None:
    chaos = {"seed": 7, "drop": 0.3, "duplicate": 0.3, "delay": 0.5, "reorder": 0.5, "seconds": 0.05}

    async def names() -> list[str]:
        receiver: Receiver = await receivers()
        made = await listen(sdk, receiver)
        await wire.control("faults", {"chaos": chaos})
        for name in "abcdefghij":
            await sdk.customers.create_async({"name": name})
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        await sdk.webhook_endpoints.delete_async(made.id)
        return sorted(delivery.event["data"]["object"]["name"] for delivery in receiver.received)

    first = await names()
    assert first == await names()
    assert len(set(first)) < 10
    assert len(set(first)) < len(first)


@pytest.mark.usefixtures("calm")
async def test_skew_moves_the_time_in_signatures(sdk: Any, wire: Wire, receivers: Any) -> None:
    receiver: Receiver = await receivers()
    made = await listen(sdk, receiver)
    await wire.control("faults", {"skew": -400})
    await sdk.customers.create_async({"name": "Ann"})
    (delivery,) = await receiver.wait_for(1)
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        verify(delivery, made.secret)
    stripe.WebhookSignature.verify_header(
        delivery.body.decode(), delivery.headers["Stripe-Signature"], made.secret, 500
    )


@pytest.mark.usefixtures("calm")
async def test_faults_hit_one_path_of_one_account(sdk: Any, wire: Wire, shop: Shop) -> None:
    account = await connected_account(sdk)
    fault = {"next": 2, "status": 503, "path": "/v1/customers", "account": account}
    await wire.control("faults", {"api": fault})
    assert (await control(wire, "GET", "faults"))["api"]["next"] == 2
    assert (await wire.get("/v1/products", Stripe_Account=account)).status == 200
    assert (await wire.get("/v1/customers")).status == 200
    assert (await wire.get("/v1/customers", Stripe_Account=account)).status == 503
    assert (await control(wire, "GET", "faults"))["api"]["next"] == 1
    assert (await control(wire, "DELETE", "faults"))["api"] is None
    assert (await wire.get("/v1/customers", Stripe_Account=account)).status == 200


@pytest.mark.usefixtures("calm")
async def test_a_lock_timeout_is_no_rate_limit(wire: Wire) -> None:
    await wire.control("faults", {"api": {"next": 1, "status": 429, "code": "lock_timeout"}})
    reply = await wire.get("/v1/customers")
    assert (reply.status, reply.error["code"]) == (429, "lock_timeout")
    assert "stripe-rate-limited-reason" not in reply.headers
    assert "request-id" not in reply.headers
    assert reply.headers["stripe-should-retry"] == "true"


@pytest.mark.usefixtures("calm")
async def test_an_answer_is_cut_off_after_the_call_was_done(wire: Wire) -> None:
    await wire.control("faults", {"api": {"next": 1, "status": 0, "cut_off": True}})
    with pytest.raises(aiohttp.ClientPayloadError):
        await wire.post("/v1/customers", "name=Ann")
    assert [row["name"] for row in (await wire.get("/v1/customers")).body["data"]] == ["Ann"]


@pytest.mark.parametrize("value", [{"chaos": {"drop": 2}}, {"api": {"next": 1, "status": 418}}, {"skew": "much"}])
async def test_odd_faults_are_refused(wire: Wire, value: Any) -> None:
    async with wire.session.post(f"{wire.url}/_sandbox/faults", json=value) as answer:
        assert answer.status == 400


async def test_events_are_gone_after_thirty_days(wire: Wire) -> None:
    process = start()
    try:
        wire.url = process.url
        await wire.post("/v1/customers", "name=Ann")
        (event,) = (await wire.get("/v1/events")).body["data"]
        await wire.control("advance", {"seconds": 29 * 86400})
        assert (await wire.get(f"/v1/events/{event['id']}")).status == 200
        await wire.control("advance", {"seconds": 2 * 86400})
        assert (await wire.get(f"/v1/events/{event['id']}")).status == 404
        assert (await wire.post(f"/v1/events/{event['id']}/retry")).status == 404
        assert (await wire.get("/v1/events")).body["data"] == []
    finally:
        process.stop()


async def test_more_than_twenty_types_are_refused(wire: Wire) -> None:
    query = "&".join(f"types[]=t{number}" for number in range(21))
    assert (await wire.get(f"/v1/events?{query}")).error["param"] == "types"


async def test_what_stripe_does_by_itself_names_no_request(wire: Wire) -> None:
    process = start()
    try:
        wire.url = process.url
        card = "payment_method=pm_card_visa&invoice_settings[default_payment_method]=pm_card_visa"
        customer = (await wire.post("/v1/customers", card)).body["id"]
        product = (await wire.post("/v1/products", "name=Gold")).body["id"]
        price = f"product={product}&currency=usd&unit_amount=1000&recurring[interval]=month"
        price = (await wire.post("/v1/prices", price)).body["id"]
        await wire.post("/v1/subscriptions", f"customer={customer}&items[0][price]={price}", Idempotency_Key="k")
        (first,) = (await wire.get("/v1/events?type=invoice.paid")).body["data"]
        assert first["request"]["idempotency_key"] == "k"
        await wire.control("advance", {"seconds": 33 * 86400})
        (renewed,) = (await wire.get("/v1/events?type=invoice.paid&limit=1")).body["data"]
        assert renewed["request"] == {"id": None, "idempotency_key": None}
    finally:
        process.stop()

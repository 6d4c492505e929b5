"""Notifications as a tenant's server receives them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal

import pytest
from aiohttp import web

from colonnade.notifications import delivering, health
from colonnade.notifications.delivering import Notifier
from colonnade.notifications.secrets import Vault
from colonnade.notifications.sender import Sender
from colonnade_tenants.notifications import notes
from tests.conftest import ScratchDatabase
from tests.platform.consumer import Consumer, consuming
from tests.platform.notifying import SECRET_KEY, Notified, another, news, notified, notifier

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PAUSES", (0.05,) * 14)
    monkeypatch.setattr(delivering, "POLL", 0.05)


@pytest.fixture
async def fern(shared_database: ScratchDatabase) -> AsyncIterator[Notified]:
    async with notified(shared_database) as fern, notifier(shared_database):
        yield fern


@pytest.fixture
async def shop() -> AsyncIterator[Consumer]:
    async with consuming() as shop:
        yield shop


async def test_the_body_is_what_was_so_at_the_change_signed_and_numbered(fern: Notified, shop: Consumer) -> None:
    endpoint = await fern.listen(shop)
    ada = await fern.customer()
    sent = [*await fern.tell(ada, ada), *await fern.tell(ada)]
    received = await shop.until(3)
    assert shop.ids() == sent
    assert [body["number"] for body in received] == [1, 2, 3]
    assert {body["type"] for body in received} == {"entitlements.changed"}
    assert received[0]["customer"]["id"].startswith("ecu_")
    log = await fern.settled(endpoint, sent[0])
    assert log["attempts"] == 1
    (tried,) = log["log"]
    assert (tried["status"], tried["error"], tried["excerpt"]) == (200, None, "said 200")
    assert tried["milliseconds"] >= 0


async def test_a_request_is_plain_and_names_its_host(fern: Notified, shop: Consumer) -> None:
    await fern.listen(shop)
    await fern.tell(await fern.customer())
    await shop.until(1)
    headers = shop.requests[0].headers
    assert headers["content-type"] == "application/json"
    assert headers["host"] == shop.url.split("/")[2]
    assert headers["user-agent"].startswith("Colonnade/")
    assert "authorization" not in headers
    assert "cookie" not in headers


async def test_what_fails_is_sent_again_under_the_same_id(fern: Notified, shop: Consumer) -> None:
    endpoint = await fern.listen(shop)
    answers = iter([500, 429, 302, 200])
    shop.answer = lambda _: next(answers)
    (sent,) = await fern.tell(await fern.customer())
    await shop.until(4)
    assert shop.ids() == [sent] * 4
    log = await fern.settled(endpoint, sent)
    assert [tried["status"] for tried in log["log"]] == [200, 302, 429, 500]
    assert log["log"][1]["error"] == "It redirects, which is not followed."


async def test_a_redirect_is_not_followed(fern: Notified, shop: Consumer) -> None:
    async with consuming() as elsewhere:
        endpoint = await fern.listen(shop)
        shop.answer = lambda _: web.Response(status=307, headers={"Location": elsewhere.url})
        (sent,) = await fern.tell(await fern.customer())
        await shop.until(3)
        assert elsewhere.requests == []
        assert (await fern.delivery(endpoint, sent))["state"] in ("pending", "sending")


async def test_what_one_customer_is_about_keeps_its_order_while_it_fails_and_others_go_on(
    fern: Notified, shop: Consumer
) -> None:
    await fern.listen(shop)
    ada, ben = await fern.customer(), await fern.customer()
    failing = True
    first: list[str] = []

    def answer(body: dict[str, Any]) -> int:
        return 500 if failing and body["id"] in first else 200

    shop.answer = answer
    first = await fern.tell(ada)
    second = await fern.tell(ada, ada)
    others = await fern.tell(ben, ben)
    async with asyncio.timeout(30):
        while not set(others) <= set(shop.ids()):
            await asyncio.sleep(0.02)
    assert not set(second) & set(shop.ids()), "overtook what has not arrived"
    failing = False
    async with asyncio.timeout(30):
        while not set(second) <= set(shop.ids()):
            await asyncio.sleep(0.02)
    delivered = list(dict.fromkeys(reversed(shop.ids())))[::-1]
    assert [each for each in delivered if each in (*first, *second)] == [*first, *second]
    assert [each for each in delivered if each in others] == others


async def test_an_endpoint_gets_the_types_that_it_asked_for(fern: Notified, shop: Consumer) -> None:
    await fern.listen(shop, types=["notification_endpoint.disabled"])
    ada = await fern.customer()
    told = [news(ada), notes.endpoint_disabled("nep_x", "https://x.example", "why")]
    sent = await fern.record(told)
    await shop.until(1)
    assert shop.ids() == [sent[1]]
    assert shop.received[0]["customer"] is None


class Awaited(asyncio.Event):
    """Says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()

    async def wait(self) -> Literal[True]:
        self.reached.set()
        return await super().wait()


@pytest.mark.parametrize("steps", range(6))
async def test_it_stops_also_if_it_is_woken_at_that_moment(
    shared_database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(delivering, "POLL", 60)
    running = Notifier(shared_database.service_url, Vault(SECRET_KEY), Sender(loopback=True))
    running._wake = wake = Awaited()
    task = asyncio.create_task(running.run())
    await wake.reached.wait()
    wake.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(20):
            await task


async def test_a_slow_endpoint_holds_up_no_other_of_any_tenant(
    fern: Notified, shop: Consumer, shared_database: ScratchDatabase
) -> None:
    over = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.callback(over.set)
        kiln = await another(fern.web, fern.db, fern.pool)
        await kiln.listen(shop)
        for _ in range(5):
            slow = await stack.enter_async_context(consuming())
            slow.answer = lambda _: over.wait()  # never answers
            await fern.listen(slow)
        quick = await stack.enter_async_context(consuming())
        await fern.listen(quick)
        await fern.tell(*[await fern.customer() for _ in range(10)])
        await fern.tell(await fern.customer())
        await kiln.tell(await kiln.customer(), await kiln.customer())
        await shop.until(2, within=10)
        over.set()


async def test_a_reply_without_end_is_not_read_to_its_end(fern: Notified, shop: Consumer) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        reply = web.StreamResponse()
        await reply.prepare(request)
        while True:
            await reply.write(b"x" * 65536)

    endpoint = await fern.listen(shop)
    shop.answer = lambda _: endless(shop.requests[-1])
    (sent,) = await fern.tell(await fern.customer())
    log = await fern.settled(endpoint, sent)
    assert log["log"][0]["excerpt"] == "x" * 1000


async def test_an_endpoint_that_is_gone_is_disabled_at_once_and_the_tenant_told(fern: Notified, shop: Consumer) -> None:
    async with consuming() as watching:
        await fern.listen(watching, types=["notification_endpoint.disabled"])
        endpoint = await fern.listen(shop)
        shop.answer = lambda _: 410
        await fern.tell(await fern.customer())
        (told,) = await watching.until(1)
        assert told["data"] == {"endpoint": endpoint, "url": shop.url, "reason": "It answered 410: gone."}
        shown = await fern.endpoint(endpoint)
        assert (shown["state"], shown["disabled_reason"]) == ("disabled", "It answered 410: gone.")
        before = len(shop.received)
        await fern.tell(await fern.customer())
        await asyncio.sleep(0.3)
        assert len(shop.received) == before


async def test_an_endpoint_that_fails_for_three_days_is_disabled_and_goes_on_when_enabled(
    fern: Notified, shop: Consumer
) -> None:
    endpoint = await fern.listen(shop)
    shop.answer = lambda _: 503
    (sent,) = await fern.tell(await fern.customer())
    await shop.until(1)
    await fern.db.connection.execute(
        "update notification_endpoints set failing_since = now() - interval '73 hours' where public_id = $1", endpoint
    )
    async with asyncio.timeout(30):
        while (shown := await fern.endpoint(endpoint))["state"] == "enabled":
            await asyncio.sleep(0.05)
    assert shown["disabled_reason"] == "Every try failed for 3 days. The last: It answered 503."
    missed = await fern.tell(await fern.customer())
    await asyncio.sleep(0.3)
    shop.answer = lambda _: 200
    reply = await fern.call("PATCH", f"/notification-endpoints/{endpoint}", {"state": "enabled"})
    assert reply.status_code == 200
    assert (reply.json()["disabled_reason"], reply.json()["failing_since"]) == (None, None)
    assert (await fern.settled(endpoint, sent))["state"] == "delivered"
    assert missed[0] not in shop.ids()
    reply = await fern.call("POST", f"/notification-endpoints/{endpoint}/replay", {"notifications": missed})
    assert (reply.status_code, reply.json()) == (202, {"count": 1})
    await fern.settled(endpoint, missed[0])


async def test_a_delivery_is_given_up_after_its_last_try_and_those_behind_it_go_on(
    fern: Notified, shop: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PAUSES", (0.05, 0.05))
    endpoint = await fern.listen(shop)
    ada = await fern.customer()
    sent: list[str] = []
    shop.answer = lambda body: 500 if body["number"] == 1 else 200
    sent = await fern.tell(ada, ada)
    assert (await fern.settled(endpoint, sent[1]))["attempts"] == 1
    given_up = await fern.settled(endpoint, sent[0], "failed")
    assert (given_up["attempts"], given_up["next_attempt_at"]) == (3, None)
    shop.answer = lambda _: 200
    reply = await fern.call("POST", f"/notification-endpoints/{endpoint}/replay", {"failed": True})
    assert reply.json() == {"count": 1}
    assert (await fern.settled(endpoint, sent[0]))["attempts"] == 1


async def test_a_rolled_secret_signs_beside_the_older_one_until_that_ends(fern: Notified, shop: Consumer) -> None:
    endpoint = await fern.listen(shop)
    path = f"/notification-endpoints/{endpoint}/secret"
    new = (await fern.call("POST", path, {"overlap_hours": 1})).json()["secret"]
    old = shop.secrets.pop()
    for secret in (old, new):
        shop.secrets = [secret]
        await fern.tell(await fern.customer())
        await shop.until(1)
        assert len(shop.requests[-1].headers["webhook-signature"].split(" ")) == 2
        shop.received.clear()
    newest = (await fern.call("POST", path, {"overlap_hours": 0})).json()["secret"]
    shop.secrets = [newest]
    await fern.tell(await fern.customer())
    await shop.until(1)
    assert len(shop.requests[-1].headers["webhook-signature"].split(" ")) == 1


async def test_a_test_goes_to_its_endpoint_alone(fern: Notified, shop: Consumer) -> None:
    async with consuming() as other:
        endpoint = await fern.listen(shop, types=["subscription.changed"])
        await fern.listen(other)
        reply = await fern.call("POST", f"/notification-endpoints/{endpoint}/ping")
        assert reply.status_code == 202
        log = await fern.settled(endpoint, reply.json()["notification"])
        assert (log["type"], log["log"][0]["status"]) == ("ping", 200)
        assert shop.received[0]["type"] == "ping"
        assert other.received == []


async def test_replaying_since_a_time_sends_all_of_it_in_order(fern: Notified, shop: Consumer) -> None:
    ada = await fern.customer()
    sent = await fern.tell(ada, ada, ada)
    async with asyncio.timeout(30):
        while len((await fern.call("GET", "/notifications")).json()["data"]) < 3:
            await asyncio.sleep(0.05)
    endpoint = await fern.listen(shop)
    reply = await fern.call("POST", f"/notification-endpoints/{endpoint}/replay", {"since": "2020-01-01T00:00:00Z"})
    assert reply.json() == {"count": 3}
    await shop.until(3)
    assert shop.ids() == sent
    shown = await fern.deliveries(endpoint)
    assert [each["notification"] for each in shown] == sent[::-1]


async def test_a_secret_that_cannot_be_read_is_said_in_the_log(fern: Notified, shop: Consumer) -> None:
    endpoint = await fern.listen(shop)
    await fern.db.connection.execute(
        'update notification_endpoints set secrets = \'[{"ciphertext": "x"}]\' where public_id = $1', endpoint
    )
    (sent,) = await fern.tell(await fern.customer())
    async with asyncio.timeout(30):
        while not (shown := await fern.deliveries(endpoint)) or not shown[0]["attempts"]:
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    assert "COLONNADE_SECRET_KEY" in (await fern.delivery(endpoint, sent))["log"][0]["error"]
    assert shop.requests == []

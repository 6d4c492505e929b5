"""From Stripe's webhook to the tenant's server, by worker processes that are killed on the way."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from colonnade.notifications.publishing import publish_waiting
from tests.conftest import ScratchDatabase
from tests.platform.consumer import consuming
from tests.platform.deliveries import environment, event
from tests.platform.notifying import Notified, notified
from tests.platform.test_webhooks_server import serving
from tests.platform.test_worker_process import worker_process
from tests.tenants import payloads

pytestmark = pytest.mark.slow


@pytest.fixture
async def fern(database: ScratchDatabase) -> AsyncIterator[Notified]:
    async with notified(database) as fern:
        yield fern


def worker_environment(database: ScratchDatabase, folder: Path) -> dict[str, str]:
    return {**environment(database, folder), "COLONNADE_NOTIFICATION_LOOPBACK": "true"}


async def test_a_worker_killed_between_sending_and_noting_sends_again_under_the_same_id(
    fern: Notified, database: ScratchDatabase, tmp_path: Path
) -> None:
    environ = worker_environment(database, tmp_path)
    async with consuming() as shop:
        endpoint = await fern.listen(shop)
        ada = await fern.customer()
        first, second = await fern.tell(ada, ada)
        with worker_process(environ) as process:

            async def killed(_: dict[str, Any]) -> int:
                process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(process.wait, 20)
                return 200

            shop.answer = killed
            await shop.until(1, within=60)
            await asyncio.to_thread(process.wait, 20)
        assert (await fern.delivery(endpoint, first))["state"] == "sending"
        shop.answer = lambda _: 200
        # As after the minute for which a delivery is claimed.
        await fern.db.connection.execute("update notification_deliveries set due_at = now() where state = 'sending'")
        await fern.db.connection.execute("update notification_endpoints set due_at = now()")
        with worker_process(environ):
            await shop.until(3, within=60)
            await fern.settled(endpoint, second)
        assert shop.ids() == [first, first, second]
        assert shop.received[0] == shop.received[1]
        log = await fern.delivery(endpoint, first)
        assert (log["state"], log["attempts"], len(log["log"])) == ("delivered", 2, 1)


async def test_a_worker_told_to_stop_waits_for_the_answer_that_it_is_owed(
    fern: Notified, database: ScratchDatabase, tmp_path: Path
) -> None:
    async with consuming() as shop:
        endpoint = await fern.listen(shop)
        (sent,) = await fern.tell(await fern.customer())
        with worker_process(worker_environment(database, tmp_path)) as process:

            async def stopped(_: dict[str, Any]) -> int:
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(1)
                return 200

            shop.answer = stopped
            await shop.until(1, within=60)
            said, _ = await asyncio.to_thread(process.communicate, None, 30)
            assert process.returncode == 0, said
        assert (await fern.delivery(endpoint, sent))["state"] == "delivered"


async def test_what_stripe_says_reaches_the_tenants_server(
    fern: Notified, database: ScratchDatabase, tmp_path: Path
) -> None:
    account = fern.name.removeprefix("ten_")
    for path, body in (
        ("/features/export", {"kind": "flag", "name": "Export"}),
        ("/plans/basic", {"name": "Basic", "price": "price_basic", "grants": [{"feature": "export", "value": True}]}),
    ):
        reply = await fern.call("PUT", path, body)
        assert reply.status_code == 200, reply.text
    thing = payloads.subscription(on_behalf_of=account, transfer_data={"destination": account})
    async with consuming() as shop:
        await fern.listen(shop)
        sent = event("customer.subscription.created", thing, created=payloads.START)
        assert (await fern.web.deliver(sent)).status_code == 200
        with worker_process(worker_environment(database, tmp_path)):
            begun, granted = await shop.until(2, within=60)
    assert (begun["type"], begun["data"]["status"], begun["data"]["event"]) == (
        "subscription.changed",
        "active",
        sent["id"],
    )
    assert (granted["type"], granted["data"]["cause"]) == ("entitlements.changed", sent["id"])
    (change,) = granted["data"]["changes"]
    assert (change["feature"], change["before"], change["after"][0]["value"]) == ("export", [], 1)
    assert [begun["number"], granted["number"]] == [1, 2]


async def test_a_stream_whose_server_was_killed_goes_on_at_the_next_one(
    fern: Notified, database: ScratchDatabase, tmp_path: Path
) -> None:
    """By `Last-Event-ID` alone: what was told meanwhile comes, what came already does not."""
    ada = await fern.customer()
    sent: list[str] = []
    seen: list[tuple[str, str]] = []

    async def tell(count: int) -> None:
        sent.extend(await fern.tell(*[ada] * count))
        await publish_waiting(fern.pool)

    async def read(port: int, count: int) -> None:
        headers = {"Authorization": f"Bearer {fern.key}", "Last-Event-ID": seen[-1][0] if seen else "0"}
        url = f"http://127.0.0.1:{port}/v1/tenants/{fern.name}/stream"
        async with asyncio.timeout(20), aiohttp.ClientSession() as http, http.get(url, headers=headers) as reply:
            place, wanted = "", len(seen) + count
            while len(seen) < wanted:
                field, _, value = (await reply.content.readline()).decode().rstrip("\n").partition(": ")
                place = value if field == "id" else place
                if field == "data":
                    seen.append((place, json.loads(value)["id"]))

    with serving(database, tmp_path, "uvicorn") as (process, port):
        await tell(2)
        await read(port, 1)  # the second is on its way when the server dies
        process.kill()
        await asyncio.to_thread(process.wait, 20)
    await tell(2)
    with serving(database, tmp_path, "uvicorn") as (_, port):
        await read(port, 3)
        await tell(1)
        await read(port, 1)
    assert [name for _, name in seen] == sent
    assert [place for place, _ in seen] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("kind", ["granian", "uvicorn"])
async def test_an_open_stream_does_not_keep_a_server_from_stopping(
    fern: Notified, database: ScratchDatabase, tmp_path: Path, kind: str
) -> None:
    with serving(database, tmp_path, kind) as (process, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = f"GET /v1/tenants/{fern.name}/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fern.key}\r\n\r\n"
        writer.write(request.encode())
        await reader.readuntil(b"heartbeat")
        process.send_signal(signal.SIGTERM)
        ended = await asyncio.to_thread(process.wait, 30)
        writer.close()
    assert ended in (0, -signal.SIGTERM)  # uvicorn raises the signal again when it is done

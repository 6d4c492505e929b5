"""Told to stop in the middle of its work: what the service accepted is answered, what it acknowledged is kept."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import ScratchDatabase
from tests.platform.deliveries import environment, event, signature
from tests.platform.notifying import Notified, notified
from tests.platform.test_runs import seats as subscription
from tests.platform.test_runs import sell
from tests.platform.test_webhooks_server import serving
from tests.platform.test_worker_process import worker_process

pytestmark = pytest.mark.slow

CONNECTIONS = 6
"""Of each kind, all kept alive."""


class Load:
    """Connections that send a request after the other, and what became of each request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers: Counter[int] = Counter()
        self.lost: list[str] = []
        """Requests that were sent whole, to a server that had answered on the connection, and never answered."""
        self.refused = 0
        self.closing = 0
        """Answers that said that the connection is closed."""
        self.acknowledged: list[str] = []
        self.balanced = False
        """Whether new connections go to another server by now."""

    async def until(self, answers: int) -> None:
        async with asyncio.timeout(60):
            while self.answers.total() < answers:
                await asyncio.sleep(0.02)

    async def until_closing(self, connections: int) -> None:
        async with asyncio.timeout(20):
            while self.closing < connections:
                await asyncio.sleep(0.02)

    async def run(self, request: Callable[[], tuple[bytes, str]]) -> None:
        while not self.balanced:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except ConnectionError:
                self.refused += 1
                await asyncio.sleep(0.05)
                continue
            with suppress(ConnectionError):
                await self._use(reader, writer, request)
            writer.close()

    async def _use(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Callable[[], tuple[bytes, str]]
    ) -> None:
        while True:
            raw, name = request()
            try:
                writer.write(raw)
                await writer.drain()
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
                await reader.readexactly(int(fields.get(b"content-length", b"0")))
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self.lost.append(f"{type(error).__name__} {getattr(error, 'partial', b'')!r}")
                return
            status = int(head.split(b" ", 2)[1])
            self.answers[status] += 1
            if status == 200 and name:
                self.acknowledged.append(name)
            if fields.get(b"connection") == b"close":
                self.closing += 1
                return


def delivery() -> tuple[bytes, str]:
    sent = event()
    body = json.dumps(sent).encode()
    head = (
        "POST /webhooks/stripe/platform HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {len(body)}\r\nStripe-Signature: {signature(body)}\r\n\r\n"
    )
    return head.encode() + body, str(sent["id"])


@pytest.fixture
async def fern(database: ScratchDatabase) -> AsyncIterator[Notified]:
    async with notified(database) as fern:
        customer = await fern.customer()
        await fern.db.connection.execute("update customers set reference = 'ada' where id = $1", customer)
        yield fern


async def readiness(port: int) -> tuple[int, str]:
    async with httpx.AsyncClient(trust_env=False) as balancer:
        reply = await balancer.get(f"http://127.0.0.1:{port}/health/ready")
    return reply.status_code, reply.text


async def until_closed(port: int) -> None:
    """Return once the server listens no more."""
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                return
            writer.close()
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("kind", ["granian", "uvicorn"])
async def test_a_server_told_to_stop_under_load_answers_all_that_it_accepted(
    fern: Notified, database: ScratchDatabase, tmp_path: Path, kind: str
) -> None:
    path = f"/v1/tenants/{fern.name}/customers/ada/entitlements"
    check = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {fern.key}\r\n\r\n".encode()
    with serving(database, tmp_path, kind, COLONNADE_DRAIN_SECONDS="8") as (process, port):
        load = Load(port)
        requests = (delivery, lambda: (check, ""))
        tasks = [asyncio.create_task(load.run(each)) for each in requests for _ in range(CONNECTIONS)]
        await load.until(200)
        assert (await readiness(port))[0] == 200
        process.send_signal(signal.SIGTERM)
        await load.until_closing(2 * CONNECTIONS)
        status, said = await readiness(port)
        assert (status, "stopping" in said) == (503, True)
        raw, slow = delivery()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw[:-100])  # once it is stopping: a body has 10 seconds to come
        load.balanced = True  # looks elsewhere from here on
        await asyncio.gather(*tasks)
        await until_closed(port)
        writer.write(raw[-100:])
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        load.acknowledged.append(slow)
        writer.close()
        said, _ = await asyncio.to_thread(process.communicate, None, 60)
    assert load.lost == []
    assert load.refused == 0
    assert set(load.answers) == {200}
    assert "Traceback" not in said
    rows = await fern.db.connection.fetch("select event_id from inbox")
    assert {row["event_id"] for row in rows} == set(load.acknowledged)


@pytest.mark.parametrize("kind", ["granian", "uvicorn"])
async def test_an_open_stream_is_ended_and_keeps_no_server_from_leaving_in_order(
    fern: Notified, database: ScratchDatabase, tmp_path: Path, kind: str
) -> None:
    """What runs at the end has run: spans are sent then, as the last thing."""
    headers = {"Authorization": f"Bearer {fern.key}"}
    with serving(database, tmp_path, kind, COLONNADE_DRAIN_SECONDS="1", OTEL_TRACES_EXPORTER="console") as (
        process,
        port,
    ):
        url = f"http://127.0.0.1:{port}/v1/tenants/{fern.name}/stream"
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
            client.stream("GET", url, headers=headers) as stream,
        ):
            parts = stream.aiter_bytes()
            assert b"heartbeat" in await anext(parts)
            process.send_signal(signal.SIGTERM)
            assert b"event" not in b"".join([part async for part in parts])  # to its proper end: else httpx raises
        said, _ = await asyncio.to_thread(process.communicate, None, 60)
    assert process.returncode in {0, -signal.SIGTERM}, said  # uvicorn ends by the signal that it was told to stop with
    assert "Traceback" not in said
    assert '"name": "GET /v1/tenants/{tenant}/stream"' in said


EVENTS = 400


async def states(fern: Notified) -> Counter[str]:
    rows = await fern.db.connection.fetch("select state, count(*) as number from inbox group by state")
    return Counter({row["state"]: row["number"] for row in rows})


async def test_a_worker_told_to_stop_amid_a_backlog_loses_and_doubles_nothing(
    fern: Notified, database: ScratchDatabase, tmp_path: Path
) -> None:
    await sell(fern.db, fern.tenant_id)
    account = fern.name.removeprefix("ten_")
    sent = [subscription(number, account=account) for number in range(EVENTS)]
    await asyncio.gather(*(fern.web.deliver(each) for each in sent))
    environ = environment(database, tmp_path)
    with worker_process(environ) as process:
        async with asyncio.timeout(60):
            while not (await states(fern))["done"]:
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said, _ = await asyncio.to_thread(process.communicate, None, 60)
        assert process.returncode == 0, said
    assert "Traceback" not in said
    left = await states(fern)
    assert left.keys() <= {"done", "pending"}
    assert left.total() == EVENTS
    with worker_process(environ):
        await fern.db.settled(*(str(each["id"]) for each in sent), within=60)
    assert await states(fern) == {"done": EVENTS}
    causes = await fern.db.connection.fetch("select cause from entitlement_changes")
    assert sorted(row["cause"] for row in causes) == sorted(str(each["id"]) for each in sent)
    assert await fern.db.connection.fetchval("select count(*) from inbox where attempts > 0") == 0

"""The stream of a tenant's notifications, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
import pytest
import uvicorn

from colonnade.access import keys
from colonnade.app import create_app
from colonnade.notifications import feed, stream
from colonnade.notifications.publishing import publish_waiting
from colonnade_tenants.notifications import Note
from colonnade_tenants.notifications.payloads import DisabledEndpoint
from tests.conftest import ScratchDatabase
from tests.platform.notifying import ON_LOOPBACK, SECRET_KEY, Notified, another, notified

pytestmark = pytest.mark.slow


class Event(NamedTuple):
    id: int | None
    type: str
    data: str


class Served:
    """A running server, and the tenant whose streams are read."""

    def __init__(self, fern: Notified, feed: feed.Feed, url: str) -> None:
        self.fern, self.feed, self.url = fern, feed, url

    @asynccontextmanager
    async def follow(self, after: int | None = None, tenant: Notified | None = None) -> AsyncIterator["Reader"]:
        """A stream, connected."""
        tenant = tenant or self.fern
        headers = {"Authorization": f"Bearer {tenant.key}"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/v1/tenants/{tenant.name}/stream", headers=headers) as reply,
        ):
            assert reply.status == 200, await reply.text()
            assert reply.headers["content-type"].startswith("text/event-stream")
            reader = Reader(reply.content)
            await reader.heartbeat()
            yield reader

    async def tell(self, *customers: int) -> list[str]:
        """Record and publish; the notifications' ids."""
        sent = await self.fern.tell(*customers)
        await publish_waiting(self.fern.pool)
        return sent


class Reader:
    """What comes, parsed as a browser would."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content
        self.heartbeats = 0

    async def event(self, within: float = 10) -> Event | None:
        """The next event; None: the stream has ended."""
        async with asyncio.timeout(within):
            while block := await self._block():
                if block[0].startswith(":"):
                    self.heartbeats += 1
                    continue
                fields = dict(line.split(": ", 1) for line in block)
                return Event(int(fields["id"]) if "id" in fields else None, fields["event"], fields["data"])
        return None

    async def heartbeat(self) -> None:
        assert (await self._block()) == [": heartbeat"]

    async def ids(self, count: int) -> list[int | None]:
        found = [await self.event() for _ in range(count)]
        return [event.id for event in found if event]

    async def _block(self) -> list[str]:
        lines: list[str] = []
        while line := (await self._content.readline()).decode():
            if line == "\n":
                return lines
            lines.append(line.rstrip("\n"))
        return []


@pytest.fixture
async def served(shared_database: ScratchDatabase) -> AsyncIterator[Served]:
    app = create_app(ON_LOOPBACK, database_url=shared_database.service_url, secret_key=SECRET_KEY)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    async with notified(shared_database) as fern:
        while not server.started:
            await asyncio.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(fern, app.state.feed, f"http://127.0.0.1:{port}")
        server.should_exit = True
        await task


async def test_what_happens_comes_in_order_and_a_client_that_comes_back_misses_nothing(served: Served) -> None:
    ada = await served.fern.customer()
    before = await served.tell(ada)
    async with served.follow() as reader:
        sent = await served.tell(ada, ada)
        events = [await reader.event(), await reader.event()]
        assert [event.id for event in events if event] == [2, 3]
        assert [event.type for event in events if event] == ["entitlements.changed"] * 2
        assert [sent[n] in event.data for n, event in enumerate(events) if event] == [True, True]
    await served.tell(ada, ada)
    async with served.follow(after=3) as reader:
        assert await reader.ids(2) == [4, 5]
        await served.tell(ada)
        assert await reader.ids(1) == [6]
    async with served.follow(after=0) as reader:
        first = await reader.event()
        assert first is not None
        assert before[0] in first.data
        assert await reader.ids(5) == [2, 3, 4, 5, 6]


async def test_many_streams_of_a_tenant_see_the_same_and_none_of_another_tenants(served: Served) -> None:
    kiln = await another(served.fern.web, served.fern.db, served.fern.pool)
    ada = await served.fern.customer()
    async with served.follow() as one, served.follow() as two, served.follow(tenant=kiln) as theirs:
        await served.tell(ada, ada)
        assert await one.ids(2) == await two.ids(2) == [1, 2]
        (mine,) = await kiln.tell(await kiln.customer())
        await publish_waiting(kiln.pool)
        event = await theirs.event()
        assert event is not None
        assert (event.id, mine in event.data) == (1, True)


async def test_a_test_of_an_endpoint_is_not_in_the_stream(served: Served) -> None:
    reply = await served.fern.call("POST", "/notification-endpoints", {"url": "https://shop.example"})
    async with served.follow() as reader:
        assert (await served.fern.call("POST", f"/notification-endpoints/{reply.json()['id']}/ping")).status_code == 202
        await served.tell(await served.fern.customer())
        assert await reader.ids(1) == [2]


async def test_a_revoked_key_ends_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.2)
    async with served.follow() as reader:
        await reader.heartbeat()
        await served.fern.db.connection.execute(
            "update api_keys set revoked_at = now() where digest = $1", keys.digest(served.fern.key)
        )
        assert await reader.event() is None
    with pytest.raises(AssertionError, match="401"):
        async with served.follow():
            pass


async def test_heartbeats_come_while_nothing_happens(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
    async with served.follow() as reader:
        for _ in range(3):
            await reader.heartbeat()


async def test_what_is_published_while_nothing_can_be_heard_comes_too(served: Served) -> None:
    ada = await served.fern.customer()
    async with served.follow() as reader:
        for expected in (1, 2):
            cut = await served.fern.db.connection.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and query ilike 'listen \"colonnade_stream%'"
            )
            assert cut
            await served.tell(ada)
            assert await reader.ids(1) == [expected]
            await asyncio.sleep(1.5)  # until it listens again


async def test_a_reader_that_does_not_read_is_cut_off_and_resumes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SEND_TIMEOUT", 0.5)
    monkeypatch.setattr(feed, "NEWEST", 20)
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    path = f"/v1/tenants/{served.fern.name}/stream"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.fern.key}\r\n\r\n".encode())
    await reader.readuntil(b"heartbeat")
    large = DisabledEndpoint("nep_1", "https://shop.example", "x" * 100_000)
    for _ in range(10):
        await served.fern.record([Note("notification_endpoint.disabled", large) for _ in range(20)])
        await publish_waiting(served.fern.pool)
    async with asyncio.timeout(20):
        while served.feed._channels:
            await asyncio.sleep(0.05)
    writer.close()
    async with served.follow(after=0) as again:
        assert await again.ids(200) == list(range(1, 201))


async def test_a_client_that_was_away_too_long_is_told_what_is_gone(served: Served) -> None:
    ada = await served.fern.customer()
    await served.tell(ada, ada, ada)
    await served.fern.db.connection.execute(
        "delete from notifications where tenant_id = $1 and position < 3", served.fern.tenant_id
    )
    async with served.follow(after=1) as reader:
        assert await reader.event() == Event(None, "gap", '{"oldest": 3}')
        assert await reader.ids(1) == [3]


async def test_a_tenant_cannot_have_too_many(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "STREAMS", 1)
    async with served.follow():
        with pytest.raises(AssertionError, match="503"):
            async with served.follow():
                pass


@pytest.mark.parametrize("sent", ["-1", "one", "1" * 19, ""])
async def test_an_id_that_is_none_is_refused(served: Served, sent: str) -> None:
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {served.fern.key}", "Last-Event-ID": sent}
        async with session.get(f"{served.url}/v1/tenants/{served.fern.name}/stream", headers=headers) as reply:
            assert reply.status == 400
            assert (await reply.json(content_type=None))["param"] == "Last-Event-ID"

"""A tenant's server takes no more of a worker's time and memory than it is given, whatever it answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from colonnade.notifications import sender
from colonnade.notifications.secrets import new_secret
from colonnade.notifications.sender import Sender
from colonnade_tenants.notifications.queue import EXCERPT, Attempt, Claimed

DELIVERY = Claimed(1, "ntf_1", "ping", "{}", 0, 1)
LATE = "There was no answer within 0.3 seconds."
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "TIMEOUT", 0.3)
    monkeypatch.setattr(sender, "BODY_TIMEOUT", 0.1)


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """A server that does *answer* with each connection, until it is closed; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def attempt(answer: Answer) -> Attempt:
    async with answering(answer) as url, Sender(loopback=True) as sending, asyncio.timeout(10):
        return await sending.attempt(url, [new_secret()], DELIVERY)


async def nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()  # until the client is gone


async def drop_by_drop(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Each byte comes in time; the whole never does."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [nothing, drop_by_drop])
async def test_an_answer_that_does_not_come_in_time_is_a_failure(answer: Answer) -> None:
    tried = await attempt(answer)
    assert (tried.status, tried.error) == (None, LATE)


async def test_a_status_counts_though_its_body_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf of it")
        await reader.read()

    monkeypatch.setattr(sender, "TIMEOUT", 60)  # the body's own limit ends it

    tried = await attempt(half)
    assert (tried.status, tried.error, tried.excerpt) == (200, None, "half of it")


async def test_of_a_body_no_more_is_read_than_is_kept() -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 500 No\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    tried = await attempt(endless)
    assert (tried.status, tried.excerpt) == (500, "x" * EXCERPT)
    assert sent < 20_000_000  # what the sockets' buffers hold, and no more


async def test_headers_without_end_are_not_collected() -> None:
    async def headers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-More: " + b"x" * 60_000 + b"\r\n")
            await writer.drain()

    tried = await attempt(headers)
    assert (tried.status, tried.error) == (None, "The answer was not valid HTTP.")


async def test_what_is_not_http_is_a_failure() -> None:
    async def noise(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\xffSSH-2.0\r\n\r\n")
        await writer.drain()

    assert (await attempt(noise)).error == "The answer was not valid HTTP."

"""More than can be stored: answered 503 before memory grows, and stored when Stripe sends it again."""

import asyncio
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from litestar.exceptions import HTTPException
from litestar.types import Receive

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.errors import Unavailable
from colonnade.webhooks import body as bodies
from colonnade.webhooks import writer
from colonnade.webhooks.body import Bodies
from colonnade.webhooks.writer import Received
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import PLATFORM, admin, event
from tests.platform.test_webhooks_receive import locked_inbox
from tests.platform.test_webhooks_server import serving

ROW = Received("evt_1", None, "t", "o", datetime.now(UTC), None, False, "-", "platform", b"{}")


def large_request(size: int, event_id: str) -> bytes:
    """A delivery with a body of about *size* bytes."""
    body = json.dumps(event(id=event_id, pad="x" * size)).encode()
    at = str(int(time.time())).encode()
    signature = hmac.digest(PLATFORM.encode(), at + b"." + body, "sha256").hex().encode()
    return (
        b"POST /webhooks/stripe/platform HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Stripe-Signature: t=%s,v1=%s\r\nContent-Length: %d\r\n\r\n%s" % (at, signature, len(body), body)
    )


async def send(port: int, request: bytes) -> int:
    """The status, or 0 where the server closed before its answer was read: it need not read what it refuses."""
    try:
        reader, stream = await asyncio.open_connection("127.0.0.1", port)
        try:
            stream.write(request)
            return int((await reader.readline() or b"x 0").split()[1])
        finally:
            stream.close()
    except ConnectionError:
        return 0


def resident(pid: int) -> int:
    """MiB of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    own = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))
    return own + sum(resident(int(child)) for child in children)


@pytest.mark.slow
async def test_a_flood_while_the_database_hangs_is_turned_away_in_bounded_memory_and_stored_later(
    database: ScratchDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLONNADE_LOG_LEVEL", "error")  # nobody reads what it says
    sent = 500
    with serving(database, tmp_path, "granian") as (process, port):
        idle = resident(process.pid)
        async with locked_inbox(database):
            flood = [asyncio.create_task(send(port, large_request(1_000_000, f"evt_{n}"))) for n in range(sent)]
            highest = idle
            async with asyncio.timeout(60):
                while sum(each.done() for each in flood) < sent / 3:
                    await asyncio.sleep(0.05)
                    highest = max(highest, resident(process.pid))
            assert 200 not in {each.result() for each in flood if each.done()}
        answers = await asyncio.gather(*flood)
        assert 503 in answers
        assert highest - idle < 300  # MiB, of 500 that were sent
        for number, answer in enumerate(answers):
            status = answer
            while status != 200:
                status = await send(port, large_request(1_000_000, f"evt_{number}"))
    async with admin(database) as db:
        assert await db.connection.fetchval("select count(*) from inbox") == sent


async def test_an_event_waits_for_two_timeouts_at_most(
    database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "TIMEOUT", 0.5)
    pool = await create_pool(database.service_url, Duty.INGEST, size=2)
    rows = [ROW._replace(event_id=f"evt_{number}") for number in range(writer.QUEUE_ROWS)]
    async with writer.InboxWriter(pool) as storing, locked_inbox(database):
        async with asyncio.timeout(3):
            found = await asyncio.gather(*(storing.store(row) for row in rows), return_exceptions=True)
    await pool.close()
    assert {type(each) for each in found} == {Unavailable}


async def test_one_row_that_the_database_refuses_fails_no_other(database: ScratchDatabase) -> None:
    rows = [ROW._replace(event_id=f"evt_{number}") for number in range(20)]
    rows[7] = rows[7]._replace(reason="\x00")
    rows[9] = rows[9]._replace(state="odd")
    pool = await create_pool(database.service_url, Duty.INGEST, size=2)
    async with writer.InboxWriter(pool) as storing:
        found = await asyncio.gather(*(storing.store(row) for row in rows), return_exceptions=True)
    await pool.close()
    assert [number for number, each in enumerate(found) if each is not None] == [7, 9]
    async with admin(database) as db:
        assert len(await db.inbox()) == 18


async def test_the_writer_gives_its_connection_back_in_a_lull(
    database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "KEPT", 0.05)
    pool = await create_pool(database.service_url, Duty.INGEST, size=2)
    async with writer.InboxWriter(pool) as storing:
        for number in range(2):
            await storing.store(ROW._replace(event_id=f"evt_{number}"))
            async with asyncio.timeout(20):
                while pool.get_idle_size() < pool.get_size():
                    await asyncio.sleep(0.01)
    await pool.close()


async def test_a_connection_that_the_server_closed_in_a_lull_fails_no_event(database: ScratchDatabase) -> None:
    stop = "select pg_terminate_backend(pid, 20000) from pg_stat_activity where usename like 'colonnade%'"
    pool = await create_pool(database.service_url, Duty.INGEST, size=2)
    async with writer.InboxWriter(pool) as storing, admin(database) as db:
        for number in range(3):
            await storing.store(ROW._replace(event_id=f"evt_{number}"))
            await db.connection.execute(f"{stop} and datname = current_database()")
            await asyncio.sleep(0.05)  # in which it is heard of
        assert len(await db.inbox()) == 3
    await pool.close()


async def test_the_writer_outlives_a_connection_that_cannot_be_given_back(
    database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "KEPT", 0.02)
    failed, release = asyncio.Event(), asyncpg.Pool.release

    async def fail(pool: asyncpg.Pool, connection: Any, **options: Any) -> None:
        await release(pool, connection, **options)
        failed.set()
        raise ConnectionResetError

    pool = await create_pool(database.service_url, Duty.INGEST, size=2)
    async with writer.InboxWriter(pool) as storing, asyncio.timeout(20):
        await storing.store(ROW)
        with monkeypatch.context() as broken:
            broken.setattr(asyncpg.Pool, "release", fail)
            await asyncio.sleep(0.2)
            await failed.wait()
        await storing.store(ROW._replace(event_id="evt_2"))
    await pool.close()


def arriving(*chunks: bytes, stalls: bool = False) -> Receive:
    """The messages of a body; *stalls*: its end never comes."""
    messages: list[Any] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        if stalls:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


async def test_bodies_that_are_still_arriving_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READING_BYTES", 1000)
    reading = Bodies()
    stalled = asyncio.create_task(reading.read(None, arriving(b"x" * 900, stalls=True)))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await reading.read(None, arriving(b"y" * 200))
    assert await reading.read(None, arriving(b"z" * 100)) == b"z" * 100
    stalled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stalled
    assert await reading.read(None, arriving(b"y" * 1000)) == b"y" * 1000


async def test_a_body_that_comes_too_slowly_is_answered_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READING_SECONDS", 0.2)
    reading = Bodies()
    with pytest.raises(HTTPException) as refused:
        async with asyncio.timeout(20):
            await reading.read(None, arriving(b"x", stalls=True))
    assert refused.value.status_code == 408
    assert await reading.read(None, arriving(b"whole")) == b"whole"

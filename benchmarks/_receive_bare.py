"""What receiving is measured against: one raw route in an otherwise empty Litestar app.

It checks the signature, decodes the envelope, and commits the inbox's row in groups with two writers, as was measured
when receiving was designed, with nothing around it.
"""

import asyncio
import hmac
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
from litestar import Litestar, asgi
from litestar.types import Receive, Scope, Send

_INSERT = """
insert into inbox (event_id, endpoint, account, type, object_id, created, api_version, livemode, body, state, lane)
select event_id, 'platform', account, type, object_id, created, api_version, livemode, body, 'pending', lane
from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::bool[], $8::bytea[], $9::text[]
) event (event_id, account, type, object_id, created, api_version, livemode, body, lane)
on conflict do nothing
"""


class _Object(msgspec.Struct):
    id: str
    on_behalf_of: str


class _Data(msgspec.Struct):
    object: _Object


class _Event(msgspec.Struct):
    id: str
    type: str
    created: int
    api_version: str
    livemode: bool
    data: _Data
    account: str | None = None


_decoder = msgspec.json.Decoder(_Event)
_secret = os.environ.get("BARE_SECRET", "").encode()
_queue: deque[tuple[tuple[Any, ...], asyncio.Future[None]]] = deque()
_arrived = asyncio.Event()


async def _write(pool: asyncpg.Pool) -> None:
    while True:
        while not _queue:
            _arrived.clear()
            await _arrived.wait()
        batch = [_queue.popleft() for _ in range(min(len(_queue), 128))]
        async with pool.acquire() as connection:
            await connection.execute(_INSERT, *map(list, zip(*(row for row, _ in batch), strict=True)))
        for _, committed in batch:
            committed.set_result(None)


@asgi("/webhooks/stripe/platform", copy_scope=False)
async def receive_event(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message: Any = await receive()
        body += message["body"]
        more = message["more_body"]
    header = next(value for name, value in scope["headers"] if name == b"stripe-signature")
    signed_at, _, signature = header.removeprefix(b"t=").partition(b",v1=")
    expected = hmac.digest(_secret, signed_at + b"." + body, "sha256").hex().encode()
    status = 400
    if hmac.compare_digest(expected, signature) and abs(time.time() - int(signed_at)) <= 300:
        event = _decoder.decode(body)
        thing, created = event.data.object, datetime.fromtimestamp(event.created, UTC)
        about = (event.account, event.type, thing.id, created, event.api_version, event.livemode)
        row = (event.id, *about, body, event.account or thing.on_behalf_of)
        committed = asyncio.get_running_loop().create_future()
        _queue.append((row, committed))
        _arrived.set()
        await committed
        status = 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@asynccontextmanager
async def _writers(_app: Litestar) -> AsyncIterator[None]:
    async def keep(_connection: asyncpg.Connection) -> None:
        """As the product does: no RESET on release."""

    async with asyncpg.create_pool(os.environ["BARE_DATABASE_URL"], min_size=2, max_size=2, reset=keep) as pool:
        tasks = [asyncio.create_task(_write(pool)) for _ in range(2)]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def application() -> Litestar:
    return Litestar([receive_event], lifespan=[_writers], openapi_config=None, logging_config=None)

"""`GET …/stream`: a tenant's notifications as server-sent events ("Server-sent events", HTML Living Standard).

The event's id is the notification's place: a client that comes back says how far it got, as `Last-Event-ID`.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from typing import Annotated, Any

import structlog
from litestar import Request, Response, get
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter
from litestar.types import HTTPResponseBodyEvent, Receive, Send
from litestar.types import Scope as AsgiScope

from colonnade.access.guard import Caller, Tenant
from colonnade.access.principals import Kind
from colonnade.access.scopes import Scope, allow
from colonnade.errors import Invalid
from colonnade.notifications.feed import Feed
from colonnade.notifications.routes import TAGS
from colonnade.services import Services
from colonnade.stopping import ENDING
from colonnade.tasks import end
from colonnade_tenants.notifications import stream
from colonnade_tenants.notifications.stream import Item

log = structlog.get_logger()

HEARTBEAT = 10.0
"""Seconds after which a comment is sent, and the key looked at again."""
SEND_TIMEOUT = 20.0
"""Seconds that a reader may leave its connection full; then it is cut off, and may resume."""
LAST_SEND = 2.0
"""Seconds that it may do so when the process stops."""
PART = 65536
"""Bytes after which a part of what there is is sent."""

_KEY = """
select exists (
    select from api_keys where public_id = $1 and revoked_at is null and (expires_at is null or expires_at > now())
)
"""
_HEARTBEAT = b": heartbeat\n\n"
_END: HTTPResponseBodyEvent = {"type": "http.response.body", "body": b"", "more_body": False}

LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        max_length=20,
        description="The last id received; 0: all that is kept. Without it the stream begins now.",
    ),
]


class EventStream(Response[bytes]):
    """An answer that goes on until its generator ends, or its reader is gone or too slow."""

    def __init__(self, chunks: AsyncGenerator[bytes]) -> None:
        super().__init__(b"", media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._chunks = chunks

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """What Litestar calls with the ASGI scope."""
        return self._answer

    async def _answer(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(_disconnected(receive))
        ending = asyncio.create_task(scope["litestar_app"].state[ENDING].wait())
        try:
            await asyncio.wait([sending, gone, ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            error, *_ = await end(sending, gone, ending)
        if sending.cancelled() and gone.cancelled():  # the process stops
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SEND):
                    await send(_END)
        if isinstance(error, TimeoutError):
            log.info("stream cut off", reason="its reader is too slow")
        elif isinstance(error, Exception):
            log.warning("stream ended", error=type(error).__name__)

    async def _send(self, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                async with asyncio.timeout(SEND_TIMEOUT):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send(_END)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@get(
    "/tenants/{tenant:str}/stream",
    operation_id="followNotifications",
    summary="The tenant's notifications as they happen, as server-sent events",
    tags=TAGS,
    media_type="text/event-stream",
    responses={
        200: ResponseSpec(
            bytes, media_type="text/event-stream", description="`id`: its place, `event`: its type, `data`: its body."
        )
    },
    response_headers=[ResponseHeader(name="Cache-Control", value="no-store", documentation_only=True)],
    opt=allow(Scope.READ),
)
async def follow(
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    request: Request[Any, Any, Any],
    last_event_id: LastEventId = None,
) -> Response[bytes]:
    after = _place(last_event_id)
    feed: Feed = request.app.state.feed
    feed.require_room(current.id)
    return EventStream(_chunks(services, feed, current.id, request.state.caller, after))


def _place(last_event_id: str | None) -> int | None:
    if last_event_id is None or (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 19):
        return None if last_event_id is None else int(last_event_id)
    raise Invalid("This is not the id of an event.", "Last-Event-ID")


async def _chunks(
    services: Services, feed: Feed, tenant_id: int, caller: Caller, after: int | None
) -> AsyncGenerator[bytes]:
    """What is sent, until the key is revoked."""
    async with feed.channel(tenant_id) as channel:
        async with services.database.tenant_connection(tenant_id) as tenant:
            newest = await stream.last(tenant)
            position = newest if after is None else min(after, newest)
            first = await stream.oldest(tenant)
        yield _HEARTBEAT  # so that the client knows at once that it is connected
        if first is not None and position < first - 1:
            yield _gap(first)
        beat = time.monotonic() + HEARTBEAT
        while True:
            if time.monotonic() >= beat:
                if not await _valid(services, caller):
                    return
                yield _HEARTBEAT
                beat = time.monotonic() + HEARTBEAT
            news = channel.news
            items = channel.after(position)
            if items is None:
                async with services.database.tenant_connection(tenant_id) as tenant:
                    items = await stream.after(tenant, position)
            for item, chunk in _in_parts(items):
                yield chunk
                position = item.position
            if not items:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, beat - time.monotonic())):
                        await news.wait()


async def _valid(services: Services, caller: Caller) -> bool:
    if caller.principal.kind is Kind.PERSON:
        return caller.expires is None or time.time() < caller.expires
    async with services.database.platform_pool.acquire() as connection:
        valid: bool = await connection.fetchval(_KEY, caller.principal.id)
    return valid


def _in_parts(items: list[Item]) -> Iterator[tuple[Item, bytes]]:
    """Events joined to parts of a bounded size, each with its last item: few writes, and little that waits."""
    part = b""
    for item in items:
        part += _event(item)
        if len(part) >= PART or item is items[-1]:
            yield item, part
            part = b""


def _event(item: Item) -> bytes:
    """A payload has no line breaks: JSON escapes them."""
    return f"id: {item.position}\nevent: {item.type}\ndata: {item.payload}\n\n".encode()


def _gap(first: int) -> bytes:
    """What came before the place *first* is no longer kept: the client has to read the state anew."""
    return f'event: gap\ndata: {{"oldest": {first}}}\n\n'.encode()


ROUTES = (follow,)

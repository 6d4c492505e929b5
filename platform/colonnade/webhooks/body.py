"""Reading the body of a delivery: its exact bytes, within bounds of size, time and memory."""

from typing import Any

from litestar.exceptions import HTTPException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import HTTPScope, Receive

from colonnade.errors import Unavailable
from colonnade.time_limit import TimeLimit

BODY_LIMIT = 1024 * 1024
"""Bytes of an event, at most."""
READING_BYTES = 32 * 1024 * 1024
"""Of all bodies that are still arriving; only what came counts, since anyone may announce much."""
READING_SECONDS = 10
"""For one body to arrive."""


class Gone(Exception):
    """The client went away before its request was whole."""


def announced(scope: HTTPScope) -> tuple[int | None, list[bytes]]:
    """The Content-Length, and the values of `Stripe-Signature`."""
    length, signatures = b"", []
    for name, value in scope["headers"]:
        if name == b"stripe-signature":
            signatures.append(value)
        elif name == b"content-length":
            length = length or value
    return int(length[:20]) if length.isdigit() else None, signatures


class Bodies:
    """Those that a process is reading."""

    def __init__(self) -> None:
        self._held = 0
        self._limit = TimeLimit(READING_SECONDS)

    async def read(self, length: int | None, receive: Receive) -> bytes:
        """One body, announced to have *length* bytes.

        Raises `RequestEntityTooLarge`, `Gone`, `Unavailable`, and 408 for one that comes too slowly.
        """
        if length and length > BODY_LIMIT:
            raise _too_large()
        try:
            with self._limit.block():
                chunk, more = await _next(receive)
                if not more and len(chunk) <= BODY_LIMIT:
                    return chunk
                whole = self._read_on(chunk, receive)
                del chunk  # it would be in memory twice
                return await whole
        except TimeoutError:
            raise HTTPException(status_code=408, detail="The event did not arrive in time.") from None

    async def _read_on(self, chunk: bytes, receive: Receive) -> bytes:
        """The rest after the first *chunk*, with it."""
        body, more = bytearray(), True
        try:
            while True:
                body += chunk
                self._held += len(chunk)
                del chunk
                if len(body) > BODY_LIMIT:
                    raise _too_large()
                if self._held > READING_BYTES:
                    raise Unavailable("Too many events are arriving at once; send it again later.", retry_after=2)
                if not more:
                    return bytes(body)
                chunk, more = await _next(receive)
        finally:
            self._held -= len(body)


async def _next(receive: Receive) -> tuple[bytes, bool]:
    """A part of a body, and whether more follows."""
    message: Any = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), message.get("more_body", False)


def _too_large() -> RequestEntityTooLarge:
    return RequestEntityTooLarge(detail=f"An event has at most {BODY_LIMIT} bytes.")

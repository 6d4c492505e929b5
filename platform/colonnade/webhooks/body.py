"""Reading the body of a delivery: its exact bytes, within bounds of size, time and memory."""

from typing import Any

from litestar.exceptions import HTTPException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.types import Receive

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
        body = bytearray()
        try:
            with self._limit.block():
                chunk, more = _part(await receive())
                if not more and len(chunk) <= BODY_LIMIT:
                    return chunk
                while True:
                    self._hold(body, chunk)
                    del chunk  # it would be in memory twice
                    if not more:
                        return bytes(body)
                    chunk, more = _part(await receive())
        except TimeoutError:
            raise HTTPException(status_code=408, detail="The event did not arrive in time.") from None
        finally:
            self._held -= len(body)

    def _hold(self, body: bytearray, chunk: bytes) -> None:
        """Add the *chunk*, where the limits allow it."""
        body += chunk
        self._held += len(chunk)
        if len(body) > BODY_LIMIT:
            raise _too_large()
        if self._held > READING_BYTES:
            raise Unavailable("Too many events are arriving at once; send it again later.", retry_after=2)


def _part(message: Any) -> tuple[bytes, bool]:
    """A part of a body, and whether more follows."""
    if message["type"] == "http.disconnect":
        raise Gone
    return message.get("body", b""), message.get("more_body", False)


def _too_large() -> RequestEntityTooLarge:
    return RequestEntityTooLarge(detail=f"An event has at most {BODY_LIMIT} bytes.")

"""Where the body of a request ends."""

from collections.abc import Awaitable
from typing import Any

from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send

_LENGTH, _ENCODING = b"content-length", b"transfer-encoding"


def announced(scope: Scope) -> int | None:
    """The Content-Length of a request; None: it announces none that counts."""
    headers = dict(scope["headers"])
    length = headers.get(_LENGTH, b"")
    return int(length[:20]) if length.isdigit() and _ENCODING not in headers else None


def ending(app: ASGIApp) -> ASGIApp:
    """*app*, where the part that completes a body of announced length says that it is the last.

    granian sends one more, an empty one, to say so: a second journey between its threads, which takes as long as much
    of what a short request needs (measured). No server lets a body be longer than announced (RFC 9112, 6.3).
    """

    def with_ends(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return app(scope, _ended(announced(scope), receive), send)

    return with_ends


def _ended(left: int | None, receive: Receive) -> Receive:
    if left is None:
        return receive

    async def part() -> HTTPReceiveMessage:
        nonlocal left
        message: Any = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            message["more_body"] = message.get("more_body", False) and left > 0
        return message  # type: ignore[no-any-return]

    return part

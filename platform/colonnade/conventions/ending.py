"""Where the body of a request ends."""

from typing import Any

from litestar.types import HTTPReceiveMessage, Receive, Scope

_LENGTH, _ENCODING = b"content-length", b"transfer-encoding"


def ending(scope: Scope, receive: Receive) -> Receive:
    """*receive*, where the part that completes a body of announced length says that it is the last.

    granian sends one more, an empty one, to say so: a second journey between its threads, which takes as long as much
    of what a short request needs (measured). No server lets a body be longer than announced (RFC 9112, 6.3).
    """
    headers = dict(scope["headers"])
    announced = headers.get(_LENGTH, b"")
    if not announced.isdigit() or _ENCODING in headers:
        return receive
    left = int(announced[:20])

    async def part() -> HTTPReceiveMessage:
        nonlocal left
        message: Any = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            message["more_body"] = message.get("more_body", False) and left > 0
        return message  # type: ignore[no-any-return]

    return part

"""A body of announced length ends with its last byte, not with the empty part that may follow."""

from typing import Any, cast

import pytest
from litestar.types import Receive, Scope, Send

from colonnade.conventions.ending import ending


def receiving(*bodies: bytes) -> Receive:
    """As granian does: an empty part says that the body is whole."""
    messages = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    messages += [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    return receive


async def handed_on(headers: dict[bytes, bytes], receive: Receive) -> Receive:
    """What the application gets."""
    got = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        got.append(receive)

    await ending(app)(cast("Scope", {"type": "http", "headers": list(headers.items())}), receive, cast("Send", None))
    return got[0]


async def read(receive: Receive) -> tuple[bytes, int]:
    """The body, and how often was asked for it."""
    body, asked, more = b"", 0, True
    while more:
        message = cast("dict[str, Any]", await receive())
        asked += 1
        body += message["body"]
        more = message["more_body"]
    return body, asked


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({b"content-length": b"6"}, 2),
        ({b"content-length": b"9"}, 3),
        ({b"content-length": b"-1"}, 3),
        ({b"content-length": b"6", b"transfer-encoding": b"chunked"}, 3),
        ({}, 3),
    ],
)
async def test_nothing_is_waited_for_once_all_that_was_announced_is_there(
    headers: dict[bytes, bytes], asked: int
) -> None:
    assert await read(await handed_on(headers, receiving(b"abc", b"def"))) == (b"abcdef", asked)


async def test_that_the_client_left_is_told_all_the_same() -> None:
    receive = await handed_on({b"content-length": b"3"}, receiving(b"abc"))
    await read(receive)
    assert [(await receive())["type"] for _ in range(2)] == ["http.request", "http.disconnect"]


async def test_an_empty_body_ends_at_once() -> None:
    assert await read(await handed_on({b"content-length": b"0"}, receiving())) == (b"", 1)

"""A body of announced length ends with its last byte, not with the empty part that may follow."""

from typing import Any, cast

import pytest
from litestar.types import Receive, Scope

from colonnade.conventions.ending import ending


def receiving(*bodies: bytes) -> Receive:
    """As granian does: an empty part says that the body is whole."""
    messages = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    messages += [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    return receive


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
    scope = cast("Scope", {"type": "http", "headers": list(headers.items())})
    receive = ending(scope, receiving(b"abc", b"def"))
    assert await read(receive) == (b"abcdef", asked)


async def test_that_the_client_left_is_told_all_the_same() -> None:
    scope = cast("Scope", {"type": "http", "headers": [(b"content-length", b"3")]})
    receive = ending(scope, receiving(b"abc"))
    await read(receive)
    assert [(await receive())["type"] for _ in range(2)] == ["http.request", "http.disconnect"]


async def test_an_empty_body_ends_at_once() -> None:
    scope = cast("Scope", {"type": "http", "headers": [(b"content-length", b"0")]})
    assert await read(ending(scope, receiving())) == (b"", 1)

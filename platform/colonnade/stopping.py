"""How a web process leaves that is told to stop: it says so, and serves on for a moment.

For `drain_seconds` after SIGTERM readiness answers 503, so that a load balancer looks elsewhere, and each answer closes
its connection, so that nobody sends a request on one that is about to go: servers close those that are idle without
looking whether a request is just coming (measured with both). Then the server stops by its own rules, and finishes what
it has begun. The event streams, which would go on, are ended then, each with the end of its answer.
"""

import asyncio
import signal
from collections.abc import Awaitable
from typing import Any

import structlog
from litestar import Litestar
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from colonnade.settings import Server

log = structlog.get_logger()

STOPPING = "stopping"
"""In the application's state, from the signal on."""
ENDING = "ending"
"""In the application's state: an `asyncio.Event`, set when the streams have to end."""
_CLOSE = (b"connection", b"close")


def leave_at_once() -> None:
    """What a child does with signals until it serves: it has nothing to finish.

    granian's own handlers there do nothing with what comes too early: it waited for such a child, and killed it in the
    end. SIGINT is for its first process, which sends SIGTERM.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Stopping:
    """*app*, with the moment before what *server* does at SIGTERM."""

    def __init__(self, app: Litestar, server: Server, seconds: int) -> None:
        self._app, self._server, self._seconds = app, server, seconds
        self._servers_own = signal.getsignal(signal.SIGTERM)
        self._granians: dict[signal.Signals, Any] = {}
        app.on_startup.append(self._watch)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """What *app* returns: a request has nobody more to wait for."""
        if scope["type"] == "lifespan" and self._server == "granian":  # type: ignore[comparison-overlap]
            self._granians = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
            leave_at_once()
        return self._app(scope, receive, send)

    def _watch(self) -> None:
        """Once the server has set its own signals up, in its event loop."""
        for each, handler in self._granians.items():
            signal.signal(each, handler)
        self._servers_own = signal.getsignal(signal.SIGTERM)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._begin)

    def _begin(self) -> None:
        if self._app.state.get(STOPPING):
            return
        log.info("stopping", seconds=self._seconds)
        self._app.state[STOPPING] = True
        self._app.asgi_handler = closing(self._app.asgi_handler)
        asyncio.get_running_loop().call_later(self._seconds, self._end)

    def _end(self) -> None:
        self._app.state[ENDING].set()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        if self._server == "uvicorn":
            signal.signal(signal.SIGTERM, self._servers_own)
            signal.raise_signal(signal.SIGTERM)
        else:
            signal.raise_signal(signal.SIGINT)  # granian's handler of both is the same, and cannot be called


def closing(app: ASGIApp) -> ASGIApp:
    """*app*, each answer the last on its connection."""

    async def closes(scope: Scope, receive: Receive, send: Send) -> None:
        async def last(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = (*message.get("headers", ()), _CLOSE)
            await send(message)

        await app(scope, receive, last)

    return closes

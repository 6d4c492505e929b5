"""What surrounds every request: its id, one log line, and the counters."""

import time

import structlog
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from colonnade.observability import REQUEST_SECONDS, REQUESTS
from colonnade_tenants.ids import new_id

log = structlog.get_logger()


class RequestObserver:
    """Gives each request an id, answers it as `Request-Id`, and writes one log line when it is done.

    It stands around the whole application: Litestar's own middleware is left out where no route matches.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        status = 499  # what is logged for a client that went away before its answer

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_headers(request_id)]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except BaseException:
            status = 500
            raise
        finally:
            seconds = time.perf_counter() - started
            route = str(scope.get("path_template") or "unknown")
            method = str(scope.get("method", ""))
            REQUESTS.labels(method, route, status).inc()
            REQUEST_SECONDS.labels(route).observe(seconds)
            log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def _headers(request_id: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"request-id", request_id.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]

"""What surrounds every request: its id, one log line, and the counters."""

import functools
import re
import time

import structlog
from litestar.enums import HttpMethod
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Counter, Histogram

from colonnade.observability import REQUEST_ID, REQUEST_SECONDS, REQUESTS
from colonnade_tenants.ids import passing_id

log = structlog.get_logger()

UNLOGGED = re.compile(r"/webhooks/stripe/.*|.*/entitlements(/\{feature[^/]*\})?|.*/entitlement-checks")
"""Routes whose requests are not logged when they succeed: deliveries, each of which is a row of the inbox, and checks.
The line would cost as much as all the rest of it (measured)."""
_QUIET = frozenset({200, 304})
_METHODS = frozenset(method.value for method in HttpMethod)


class RequestObserver:
    """Gives each request an id, answers it as `Request-Id`, and writes one log line when it is done.

    It stands around the whole application: Litestar's own middleware is left out where no route matches.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = passing_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        REQUEST_ID.set(request_id)
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
            requests, times, logged = _metrics(method if method in _METHODS else "other", route, status)
            requests.inc()
            times.observe(seconds)
            if logged:
                log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


@functools.cache
def _metrics(method: str, route: str, status: int) -> tuple[Counter, Histogram, bool]:
    """What counts such requests, and whether they are logged.

    Looking it up takes longer than counting, and callers may invent no label.
    """
    logged = status not in _QUIET or not UNLOGGED.fullmatch(route)
    return REQUESTS.labels(method, route, status), REQUEST_SECONDS.labels(route), logged


def _headers(request_id: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"request-id", request_id.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]

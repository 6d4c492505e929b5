"""What surrounds every request: its id, one log line, and the counters."""

import functools
import re
import time
from collections.abc import Awaitable

import structlog
from litestar.enums import HttpMethod
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from colonnade.access.audit import ACTING
from colonnade.access.gate import HEADERS
from colonnade.conventions.headers import Shield, given_id
from colonnade.observability import REQUEST_ID, REQUEST_SECONDS, REQUESTS
from colonnade_tenants.ids import passing_id

log = structlog.get_logger()

UNLOGGED = re.compile(r"/webhooks/stripe/.*|.*/entitlements(/\{feature[^/]*\})?|.*/entitlement-checks")
"""Routes whose requests are not logged when they succeed: deliveries, each of which is a row of the inbox, and checks.
The line would cost as much as all the rest of it (measured)."""
_QUIET = frozenset({200, 304})
GONE = 499
"""The status that a request is counted under whose client went away before its answer."""
BEGAN = "colonnade.began"
"""In the scope: when a request began that something before the observer took first (`time.perf_counter`)."""
_METHODS = frozenset(method.value for method in HttpMethod)


class RequestObserver:
    """Gives each request an id unless it came with one, answers it as `Request-Id`, and writes one log line at the end.

    Every answer gets the headers of *shield*.

    It stands around the whole application: Litestar's own middleware is left out where no route matches. Deliveries
    that succeed do not come here: the event's own id says all that a request's could.
    """

    def __init__(self, app: ASGIApp, shield: Shield) -> None:
        self._app, self._shield = app, shield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = given_id(scope.get("headers", ())) or passing_id("req")
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        REQUEST_ID.set(request_id)
        ACTING.set(None)  # where a server handles the requests of a connection in one context
        started: float = scope.get(BEGAN) or time.perf_counter()  # type: ignore[assignment]
        status = GONE

        def answer(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                nonlocal status
                status = message["status"]
                given = (*message.get("headers", ()), (b"request-id", request_id.encode()), *state.get(HEADERS, ()))
                message["headers"] = self._shield.around(given, scope.get("route_handler"))
            return send(message)

        try:
            await self._app(scope, receive, answer)
        except BaseException:
            status = 500
            raise
        finally:
            seconds = time.perf_counter() - started
            route = scope.get("path_template") or "unknown"
            method = scope.get("method", "")
            REQUESTS.counts[method if method in _METHODS else "other", route, status] += 1
            REQUEST_SECONDS.observe(route, seconds)
            if status not in _QUIET or not _unlogged(route):
                log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


_unlogged = functools.cache(UNLOGGED.fullmatch)

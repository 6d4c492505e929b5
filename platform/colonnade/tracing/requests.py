"""The span of a web request.

It begins when something first needs it, dated back: by then it is known who asks, and which event is delivered. A
delivery belongs to its event's trace. A caller that showed a good key may go on in its own trace (`traceparent`);
anybody else's is ignored, or strangers could put spans into our traces and make us record what we would not.
"""

import time
from collections.abc import Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from colonnade.checks import front
from colonnade.middleware import GONE

_UNTRACED = ("/health/", "/metrics")
"""Asked every few seconds by machines: nobody looks for their traces."""
_PROPAGATOR = TraceContextTextMapPropagator()
_METHODS = frozenset(method.value for method in HttpMethod)
_CHECKS = frozenset({front.LIST, front.SINGLE})
"""Routes that are also answered before the guard; whoever they answer well has shown a key."""


OfEvent = Callable[[str], Context]
"""The parent of what belongs to an event."""


class Request:
    """A request that is being answered; *event* is the id and type of the event that it delivers."""

    def __init__(self, tracer: Tracer, of_event: OfEvent, scope: HTTPScope) -> None:
        self._tracer, self._of_event, self._scope = tracer, of_event, scope
        self._began = time.time_ns()
        self._span: Span | None = None
        self._status = 0
        self._failed = False
        self.event: tuple[str, str] | None = None

    def span(self) -> Span:
        """Its span, begun by now."""
        if self._span is None:
            self._span = self._tracer.start_span("request", self._parent(), SpanKind.SERVER, start_time=self._began)
        return self._span

    def answered(self, status: int) -> None:
        """Its answer has begun."""
        self._status = status

    def failed(self) -> None:
        """It was given up by an exception."""
        self._failed = True

    def end(self) -> None:
        """It is answered, or never will be."""
        scope, span = self._scope, self.span()
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        route = scope.get("path_template") or (scope["path"] if self.event else "unknown")
        span.update_name(f"{method} {route}")
        tenant = self._state.get("tenant")
        status = self._status or (0 if self._failed else GONE)
        attributes = {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "colonnade.request_id": self._state.get("request_id"),
            "colonnade.tenant": tenant and tenant.public_id,
            "colonnade.event": self.event and self.event[0],
            "colonnade.event.type": self.event and self.event[1],
        }
        span.set_attributes({name: value for name, value in attributes.items() if value})
        if self._failed or status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    @property
    def _state(self) -> MutableMapping[str, Any]:
        return self._scope.get("state") or {}

    def _parent(self) -> Context:
        if self.event:
            return self._of_event(self.event[0])
        checked = self._scope.get("path_template") in _CHECKS and 0 < self._status < 400
        if not checked and "principal" not in self._state:
            return Context()
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._scope["headers"]}
        return _PROPAGATOR.extract(headers, Context())


REQUEST: ContextVar[Request | None] = ContextVar("traced request", default=None)


class Traced:
    """*app* with a span for each request."""

    def __init__(self, tracer: Tracer, of_event: OfEvent, app: ASGIApp) -> None:
        self._tracer, self._of_event, self._app = tracer, of_event, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["path"].startswith(_UNTRACED):
            await self._app(scope, receive, send)
            return
        request = Request(self._tracer, self._of_event, scope)
        REQUEST.set(request)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.answered(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except BaseException:
            request.failed()
            raise
        finally:
            request.end()
            REQUEST.set(None)  # where a server handles the requests of a connection in one context

"""Tracing that is on: spans, and where they are sent.

    event customer.subscription.updated        from its arrival to its outcome; its ids come from the event's
        POST /webhooks/stripe/platform         each delivery
            store
        handle customer.subscription.updated   each try
            recompute
            GET /v1/subscriptions/{id}         each request to Stripe
        notify entitlements.changed            each try

Names and attributes hold ids and words of ours and Stripe's: no keys, no addresses, nothing of a body or an error's
text.
"""

import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import stripe
from litestar.types import ASGIApp
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from colonnade import __version__
from colonnade.stripe_api.limits import endpoint
from colonnade.tracing.ids import Ids, given, root_of
from colonnade.tracing.requests import REQUEST, Traced
from colonnade.tracing.switch import Exporter, F, Process, Tracing
from colonnade.webhooks.inbox import Claimed, Outcome
from colonnade.webhooks.standing import Attributed
from colonnade.webhooks.writer import Received
from colonnade_tenants import watching
from colonnade_tenants.notifications.queue import Attempt
from colonnade_tenants.notifications.queue import Claimed as Notification
from colonnade_tenants.unit import Unit, Units

LAST = 3.0
"""Seconds that sending what is left may take when the process stops."""

_BY_HAND = "select id from inbox where id = any ($1) and actions <> '[]'"
_TENANT = "select public_id from tenants where id = $1"


class _Causes(msgspec.Struct):
    cause: Any = None
    event: Any = None


class _Body(msgspec.Struct):
    data: _Causes


class Recording(Tracing):
    """Records this process's spans, and sends them in a thread of its own.

    Sampling, limits and the exporter's headers are as OpenTelemetry's variables say.
    """

    def __init__(self, process: Process, exporter: Exporter, *, to: SpanExporter | None = None) -> None:
        self._provider = TracerProvider(resource=_resource(process), id_generator=Ids(), shutdown_on_exit=False)
        chosen = to or (ConsoleSpanExporter() if exporter == "console" else OTLPSpanExporter())
        self._provider.add_span_processor(BatchSpanProcessor(chosen))
        self.tracer = self._provider.get_tracer("colonnade", __version__)
        self._tenants: dict[int, str] = {}
        self._again: ContextVar[frozenset[int]] = ContextVar("events put back by hand", default=frozenset())
        watching.watch(self._watched)

    def stop(self) -> None:
        watching.watch(None)
        # A collector that does not answer must not keep the process: the exporter itself would try on for longer.
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(LAST)

    def of_event(self, event_id: str) -> Context:
        """For a child of the event's own span. Sampled if that is: each process decides the same by the id."""
        root = root_of(event_id)
        sampled = (
            self._provider.sampler.should_sample(Context(), root.trace, "event").decision is Decision.RECORD_AND_SAMPLE
        )
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return set_span_in_context(NonRecordingSpan(SpanContext(root.trace, root.span, True, flags)), Context())

    def application(self, app: ASGIApp) -> ASGIApp:
        return Traced(self.tracer, self.of_event, app)

    def storing(self, store: F) -> F:
        async def traced(row: Received) -> None:
            if request := REQUEST.get():
                request.event = row.event_id, row.type
            with self._span("store"):
                await store(row)

        return traced  # type: ignore[return-value]

    def asking(self, ask: F) -> F:
        async def traced(method: str, path: str, **options: Any) -> Any:
            with self._span(f"{method.upper()} {endpoint(path)}", SpanKind.CLIENT) as span:
                try:
                    reply = await ask(method, path, **options)
                except stripe.StripeError as error:
                    _note(span, error.http_status, error.request_id)
                    raise
                _note(span, reply.code, reply.request_id)
                return reply

        return traced  # type: ignore[return-value]

    def processing(self, process: F) -> F:
        async def traced(connection: asyncpg.Connection, rows: Sequence[Claimed]) -> Any:
            found = await connection.fetch(_BY_HAND, [row.id for row in rows])
            self._again.set(frozenset(row["id"] for row in found))
            return await process(connection, rows)

        return traced  # type: ignore[return-value]

    def handling(self, handle: F) -> F:
        async def traced(units: Units, tenant: Unit, each: Attributed) -> Outcome:
            row = each.row
            about = {
                "colonnade.tenant": await self._tenant(units.connection, each.by.tenant_id),
                "colonnade.rung": each.by.rung,
                "colonnade.attempt": row.attempts + 1,
                "colonnade.by_hand": row.id in self._again.get(),
            }
            with self._span(f"handle {row.type}", SpanKind.CONSUMER, self.of_event(row.event_id), about) as span:
                outcome: Outcome = await handle(units, tenant, each)
                span.set_attribute("colonnade.outcome", outcome.state)
                if outcome.error:
                    _fail(span, (outcome.reason or "").partition(":")[0])
            return outcome

        return traced  # type: ignore[return-value]

    def settling(self, note: F) -> F:
        def traced(outcome: Outcome, now: float) -> None:
            note(outcome, now)
            row = outcome.event
            # One that was put back by hand has had its span, which cannot be sent twice.
            if outcome.state not in ("pending", "held") and row.id not in self._again.get():
                with given(root_of(row.event_id)):
                    span = self.tracer.start_span(
                        f"event {row.type}", Context(), start_time=_nanoseconds(row.received_at)
                    )
                span.set_attributes(self._about(outcome))
                if outcome.state == "dead":
                    span.set_status(StatusCode.ERROR)
                span.end(int(now * 1e9))

        return traced  # type: ignore[return-value]

    def sending(self, send: F) -> F:
        async def traced(url: str, secrets: Sequence[str], delivery: Notification) -> Attempt:
            causes = msgspec.json.decode(delivery.payload, type=_Body).data
            event_id = str(causes.cause or causes.event)
            parent = self.of_event(event_id) if event_id.startswith("evt_") else Context()
            about = {"colonnade.notification": delivery.public_id, "colonnade.attempt": delivery.attempts}
            with self._span(f"notify {delivery.type}", SpanKind.CLIENT, parent, about) as span:
                attempt: Attempt = await send(url, secrets, delivery)
                if attempt.status is not None:
                    span.set_attribute("http.response.status_code", attempt.status)
                if attempt.error is not None:
                    _fail(span, str(attempt.status or "unanswered"))
            return attempt

        return traced  # type: ignore[return-value]

    @contextmanager
    def _span(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Iterator[Span]:
        """A span that is what goes on in the block, below *parent*, the request, or what goes on around it."""
        request = REQUEST.get()
        if parent is None and request is not None:
            parent = set_span_in_context(request.span())
        with self.tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                _fail(span, type(error).__name__)
                raise

    def _watched(self, name: str) -> Any:
        return self._span(name)

    def _about(self, outcome: Outcome) -> dict[str, str | int]:
        row, by = outcome.event, outcome.by
        about: dict[str, str | int | None] = {
            "colonnade.event": row.event_id,
            "colonnade.event.type": row.type,
            "colonnade.endpoint": row.endpoint,
            "colonnade.outcome": outcome.state,
            "colonnade.attempts": row.attempts + 1,
            "colonnade.rung": by and by.rung,
            "colonnade.tenant": by and self._tenants.get(by.tenant_id),
        }
        return {name: value for name, value in about.items() if value is not None}

    async def _tenant(self, connection: asyncpg.Connection, tenant_id: int) -> str:
        """The tenant's public id, which never changes."""
        if tenant_id not in self._tenants:
            self._tenants[tenant_id] = await connection.fetchval(_TENANT, tenant_id)
        return self._tenants[tenant_id]


def _resource(process: Process) -> Resource:
    found = {"service.version": __version__, "service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}
    named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named and not os.environ.get("OTEL_SERVICE_NAME"):
        found["service.name"] = f"colonnade-{process}"
    return Resource.create(found)


def _note(span: Span, status: int | None, request_id: str | None) -> None:
    """What Stripe answered."""
    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if request_id is not None:
        span.set_attribute("stripe.request_id", request_id)


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e9)

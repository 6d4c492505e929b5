"""The spans of a process: where they begin, and where they are sent."""

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

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
from colonnade.tracing.ids import Ids, root_of
from colonnade.tracing.requests import REQUEST
from colonnade.tracing.switch import Exporter, Process

LAST = 3.0
"""Seconds that sending what is left may take when the process stops."""


class Spans:
    """Begins spans, and sends them in a thread of its own.

    Sampling, limits and the exporter's headers are as OpenTelemetry's variables say.
    """

    def __init__(self, process: Process, exporter: Exporter, *, to: SpanExporter | None = None) -> None:
        self._provider = TracerProvider(resource=_resource(process), id_generator=Ids(), shutdown_on_exit=False)
        chosen = to or (ConsoleSpanExporter() if exporter == "console" else OTLPSpanExporter())
        self._provider.add_span_processor(BatchSpanProcessor(chosen))
        self.tracer = self._provider.get_tracer("colonnade", __version__)

    def finish(self) -> None:
        """Send what is left, for `LAST` at most."""
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

    @contextmanager
    def span(
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
                fail(span, type(error).__name__)
                raise


def fail(span: Span, kind: str) -> None:
    """What the span is about failed, with an error of this *kind*."""
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _resource(process: Process) -> Resource:
    found = {"service.version": __version__, "service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}
    given = {each.partition("=")[0].strip() for each in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")}
    if "service.name" not in given and not os.environ.get("OTEL_SERVICE_NAME"):
        found["service.name"] = f"colonnade-{process}"
    return Resource.create(found)

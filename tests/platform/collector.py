"""A collector of traces, as OpenTelemetry's protocol has it: what processes send it by HTTP."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

Value = str | int | bool | float


class Span(NamedTuple):
    """As it was sent; ids are hexadecimal, *parent* is empty for a root, *service* is the process's."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    kind: int
    start: int
    end: int
    failed: bool
    attributes: Mapping[str, Value]


class Collector:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.raw = b""
        self.url = ""
        self.status = 200

    async def until(self, enough: Callable[[list[Span]], Any], within: float = 60) -> list[Span]:
        """The spans, once they are *enough*."""
        try:
            async with asyncio.timeout(within):
                while not enough(self.spans):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError([(each.service, each.name) for each in self.spans]) from None
        return self.spans

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.status == 200:
            self.raw += body
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(status=self.status, body=answer, content_type="application/x-protobuf")


def _spans(sent: ExportTraceServiceRequest) -> list[Span]:
    return [
        Span(
            str(_values(of_process.resource.attributes)["service.name"]),
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.name,
            span.kind,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == 2,
            _values(span.attributes),
        )
        for of_process in sent.resource_spans
        for of_library in of_process.scope_spans
        for span in of_library.spans
    ]


def _values(attributes: Any) -> dict[str, Value]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector that listens while the block runs."""
    collector = Collector()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        collector.url = f"http://{host}:{port}"
        yield collector
    finally:
        await runner.cleanup()

"""Traces: when they are on, whose trace a request is in, and what of an event is in one, in this process."""

import json
import subprocess
import sys
from ast import literal_eval
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.types import Receive, Scope, Send
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from colonnade.database.connections import Database, create_pool
from colonnade.database.roles import Duty
from colonnade.settings import SettingsError
from colonnade.stripe_api import failures, sender
from colonnade.tracing import ids, switch
from colonnade.tracing.recording import Recording
from colonnade.tracing.spans import Spans, _resource
from colonnade.tracing.switch import Tracing, wanted
from colonnade.webhooks import actions
from colonnade_tenants.events import Event
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe
from tests.conftest import ScratchDatabase
from tests.platform.api import Api, Sandbox, TenantApi, running_api
from tests.platform.checking import SEATS, give, heard, seats
from tests.platform.deliveries import admin
from tests.platform.test_runs import TYPE, Desk
from tests.platform.test_runs import seats as subscription

CALLERS = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{CALLERS}-b7ad6b7169203331-01"
COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}

GRPC = {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
TRACES = {
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://traces.example/v1/traces",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
}
"""What is of traces alone wins over what is of metrics and logs too."""


class Kept:
    """What was recorded since the last look."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        self._spans = Spans("web", "otlp", to=self._kept)
        self.recording = Recording(self._spans)

    def take(self) -> dict[str, list[ReadableSpan]]:
        """By name."""
        self._spans._provider.force_flush()
        found: dict[str, list[ReadableSpan]] = {}
        for span in self._kept.get_finished_spans():
            found.setdefault(span.name, []).append(span)
        self._kept.clear()
        return found


@pytest.fixture(scope="module")
def recorded() -> Iterator[Kept]:
    spans = Kept()
    switch._current = spans.recording
    yield spans
    switch._current = Tracing()
    spans.recording.stop()


@pytest.fixture(scope="module")
async def module_api(recorded: Kept, shared_database: ScratchDatabase, module_sandbox: Sandbox) -> AsyncIterator[Api]:
    async with running_api(shared_database, module_sandbox) as running:
        yield running


@pytest.fixture
def spans(recorded: Kept) -> Kept:
    recorded.take()
    return recorded


@pytest.fixture
async def desk(recorded: Kept, shared_database: ScratchDatabase) -> AsyncIterator[Desk]:
    pool = await create_pool(shared_database.service_url, Duty.WORKER, size=1)
    async with admin(shared_database) as db:
        await db.connection.execute("delete from inbox")
        desk = Desk(db, pool)
        yield desk
        await desk._gateway.close()
    await pool.close()


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


@pytest.mark.slow
def test_without_an_exporter_nothing_of_opentelemetry_is_imported_and_every_part_is_as_it_was() -> None:
    program = """
import sys
import colonnade.cli, colonnade.server, colonnade.webhooks.worker
from colonnade.settings import Settings
from colonnade.tracing.switch import Tracing, current, start
assert type(start("web", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"})) is Tracing
colonnade.server.create_app(Settings(), database_url="postgresql://a/b", secret_key="k" * 32)
print([name for name in sys.modules if name.startswith(("opentelemetry.", "google.protobuf"))])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # Litestar looks whether its own plugin for it is there, which brings some names of attributes.
    imported = [name for name in literal_eval(said.stdout) if not name.startswith("opentelemetry.semconv")]
    assert imported == []
    parts: list[Any] = ["application", "storing", "asking", "processing", "handling", "settling", "sending"]
    assert all(
        getattr(Tracing(), part)(test_what_the_environment_says) is test_what_the_environment_says for part in parts
    )


@pytest.mark.parametrize(
    ("environ", "exporter"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "billing"}, None),
        (COLLECTOR, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://traces.example/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        (COLLECTOR | {"OTEL_TRACES_EXPORTER": "none"}, None),
        (COLLECTOR | {"OTEL_SDK_DISABLED": "TRUE"}, None),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "otlp"),
        (GRPC | {"OTEL_TRACES_EXPORTER": "console"}, "console"),
        (GRPC | TRACES, "otlp"),
    ],
)
def test_what_the_environment_says(environ: dict[str, str], exporter: str | None) -> None:
    assert wanted(environ) == exporter


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://["}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
    ],
)
def test_what_cannot_be_is_said_with_the_variables_name(environ: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} must be"):
        wanted(environ)


def test_a_missing_library_is_said_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "_installed", lambda: False)
    with pytest.raises(SettingsError, match=r"install colonnade\[tracing\]"):
        wanted(COLLECTOR)


@settings(max_examples=25)
@given(st.text(min_size=1), st.floats(0, 1))
def test_each_process_samples_an_event_alike_and_gives_it_the_same_ids(event_id: str, ratio: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        patch.setenv("OTEL_TRACES_SAMPLER_ARG", str(ratio))
        one, other = Spans("web", "otlp", to=InMemorySpanExporter()), Spans("worker", "console")
    root = ids.root_of(event_id)
    assert root.trace
    assert root.span
    with ids.given(root):
        own = one.tracer.start_span("event")
    below = other.tracer.start_span("store", other.of_event(event_id))
    assert below.get_span_context().trace_id == own.get_span_context().trace_id == root.trace
    assert own.get_span_context().span_id == root.span != below.get_span_context().span_id
    assert below.is_recording() is own.is_recording()
    for each in (one, other):
        each.finish()


async def test_a_calls_trace_goes_on_below_a_good_key_alone(fern: TenantApi, spans: Kept) -> None:
    """A stranger, and who guesses a key, cannot put spans into a trace, nor choose what is recorded."""
    for key, trace in ((fern.key, CALLERS), ("", None), ("col_tenant_guessed", None), (fern.key + "x", None)):
        await fern.call("GET", "", key=key, traceparent=TRACEPARENT)
        (span,) = spans.take()["GET /v1/tenants/{tenant}"]
        assert (trace_of(span) == CALLERS) is (trace is not None)
        assert (span.parent is not None) is (trace is not None)
        assert span.attributes is not None
        assert span.attributes.get("colonnade.tenant") == (fern.id if trace else None)


async def test_another_tenants_key_goes_on_in_no_trace_that_names_the_tenant(
    fern: TenantApi, kiln: TenantApi, spans: Kept
) -> None:
    assert (await fern.call("GET", "", key=kiln.key, traceparent=TRACEPARENT)).status_code == 404
    (span,) = spans.take()["GET /v1/tenants/{tenant}"]
    assert span.attributes is not None
    assert "colonnade.tenant" not in span.attributes
    assert fern.id not in span.to_json()


async def test_a_check_that_memory_answers_goes_on_in_its_callers_trace(fern: TenantApi, spans: Kept) -> None:
    assert (await fern.call("PUT", "/features/seats", SEATS)).status_code == 200
    assert (await fern.call("PUT", "/customers/ada", {"email": "ada@shop.example"})).status_code in (200, 201)
    await give(fern, 3)
    await heard(fern)
    for _ in range(2):
        await seats(fern)
    spans.take()
    await seats(fern, traceparent=TRACEPARENT)
    (span,) = spans.take()["GET /v1/tenants/{tenant}/customers/{reference}/entitlements/{feature}"]
    assert trace_of(span) == CALLERS


async def test_requests_to_stripe_are_below_the_request_that_they_are_for(api: Api, spans: Kept) -> None:
    await api.tenant(name="Fern")
    found = spans.take()
    (asked,), (made,) = found["POST /v1/tenants"], found["POST /v1/accounts"]
    assert asked.context is not None
    assert made.parent is not None
    assert made.parent.span_id == asked.context.span_id
    assert made.attributes is not None
    assert made.attributes["http.response.status_code"] == 200
    assert str(made.attributes["stripe.request_id"]).startswith("req_")
    assert made.start_time is not None
    assert asked.start_time is not None
    assert made.start_time >= asked.start_time


async def test_a_request_that_stripe_fails_shows_its_kind_and_not_its_words(
    fern: TenantApi, spans: Kept, sandbox: Sandbox
) -> None:
    await sandbox.fail(next=9, status=500)
    await fern.call("PUT", "/customers/bo", {"email": "bo@shop.example"})
    asked = spans.take()["POST /v1/customers"][0]  # each try is one
    assert asked.status.status_code is StatusCode.ERROR
    assert asked.status.description is None
    assert asked.attributes is not None
    assert asked.attributes["http.response.status_code"] == 500
    assert not asked.events
    assert "bo@shop" not in asked.to_json()


async def test_deliveries_of_no_event_have_a_trace_of_their_own_and_health_has_none(api: Api, spans: Kept) -> None:
    await api.client.get("/health/live")
    await api.client.get("/metrics")
    assert spans.take() == {}
    await api.client.request("BREW", "/coffee")
    assert list(spans.take()) == ["_OTHER unknown"]
    headers = {"Stripe-Signature": "t=1,v1=00", "traceparent": TRACEPARENT}
    reply = await api.client.post("/webhooks/stripe/platform", content=b"{}", headers=headers)
    found = spans.take()
    (span,) = found["POST /webhooks/stripe/platform"]
    assert (span.parent, trace_of(span) == CALLERS) == (None, False)
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == reply.status_code


@pytest.mark.parametrize("error", [None, RuntimeError])
async def test_a_client_that_went_away_is_no_error_of_ours(spans: Kept, error: type[Exception] | None) -> None:
    async def unanswered(_scope: Scope, _receive: Receive, _send: Send) -> None:
        if error is not None:
            raise error

    scope: Any = {"type": "http", "method": "GET", "path": "/portal", "headers": []}
    with pytest.raises(error) if error else nullcontext():
        await spans.recording.application(unanswered)(scope, nothing, nothing)
    (span,) = spans.take()["GET unknown"]
    assert span.attributes is not None
    assert span.attributes.get("http.response.status_code") == (None if error else 499)
    assert span.status.status_code is (StatusCode.ERROR if error else StatusCode.UNSET)


async def nothing(*_: Any) -> Any:
    """Neither said nor heard."""


@pytest.mark.parametrize(
    ("attributes", "name"),
    [("peer.service.name=stripe", "colonnade-web"), ("team=a, service.name=billing", "billing")],
)
def test_a_process_has_the_name_that_it_is_given(monkeypatch: pytest.MonkeyPatch, attributes: str, name: str) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", attributes)
    assert _resource("web").attributes["service.name"] == name


async def failing(_event: Event, tenant: TenantConnection, _stripe: TenantStripe) -> None:
    raise ValueError("ada@shop.example")


async def test_each_try_is_a_span_and_the_event_one_at_its_end_that_a_replay_does_not_repeat(
    desk: Desk, spans: Kept
) -> None:
    await desk.db.tenant("acct_traced")
    sent = subscription(7, account="acct_traced")
    await desk.put(sent)
    assert (await desk.work(failing))[sent["id"]][0] == "pending"
    (failed,) = spans.take()[f"handle {TYPE}"]
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "ValueError"
    assert "ada@shop" not in failed.to_json()
    await desk.db.connection.execute("update inbox set not_before = now()")
    assert (await desk.work())[sent["id"]][0] == "done"
    found = spans.take()
    (root,), (handled,) = found[f"event {TYPE}"], found[f"handle {TYPE}"]
    assert root.context is not None
    assert (root.parent, root.context.trace_id, root.context.span_id) == (None, *ids.root_of(sent["id"]))
    assert (
        (handled.parent and handled.parent.span_id) == (failed.parent and failed.parent.span_id) == root.context.span_id
    )
    assert handled.attributes is not None
    assert (handled.attributes["colonnade.attempt"], handled.attributes["colonnade.by_hand"]) == (2, False)
    await put_back(desk.db.connection)
    assert (await desk.work())[sent["id"]][0] == "done"
    found = spans.take()
    (again,) = found[f"handle {TYPE}"]
    assert f"event {TYPE}" not in found
    assert again.attributes is not None
    assert again.attributes["colonnade.by_hand"] is True
    assert trace_of(again) == trace_of(root)


async def test_what_was_put_back_by_hand_before_it_had_an_outcome_gets_its_root_once(
    desk: Desk, spans: Kept, shared_database: ScratchDatabase
) -> None:
    await desk.db.tenant("acct_early")
    sent = subscription(9, account="acct_early")
    await desk.put(sent)
    assert (await desk.work(failing))[sent["id"]][0] == "pending"
    async with Database(shared_database.service_url) as database:
        await actions.ignore(database, sent["id"], "key_1")
        await actions.replay(database, sent["id"], "key_1")
        assert (await desk.work())[sent["id"]][0] == "done"
        assert len(spans.take()[f"event {TYPE}"]) == 1
        await actions.replay(database, sent["id"], "key_1")
    assert (await desk.work())[sent["id"]][0] == "done"
    assert f"event {TYPE}" not in spans.take()


async def asking(_event: Event, _tenant: TenantConnection, stripe: TenantStripe) -> None:
    await stripe.get("/v1/subscriptions/sub_8", {"expand": ["ada@shop.example"]})


async def test_what_a_handler_asks_of_stripe_is_below_its_try(
    desk: Desk, spans: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe is away here, which a handler's event waits for."""
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.01)
    await desk.db.tenant("acct_asking")
    sent = subscription(8, account="acct_asking")
    await desk.put(sent)
    assert (await desk.work(asking))[sent["id"]][0] == "pending"
    found = spans.take()
    (handled,) = found[f"handle {TYPE}"]
    tries = found["GET /v1/subscriptions/{id}"]
    assert handled.context is not None
    assert [each.parent and each.parent.span_id for each in tries] == [handled.context.span_id] * sender.TRIES
    assert {each.status.status_code for each in tries} == {StatusCode.ERROR}
    assert not any("ada@" in each.to_json() or "sub_8" in each.to_json() for each in (*tries, handled))
    assert handled.attributes is not None
    assert handled.attributes["colonnade.outcome"] == "pending"


async def put_back(connection: asyncpg.Connection) -> None:
    note = json.dumps([{"action": "replayed"}])
    await connection.execute("update inbox set state = 'pending', not_before = now(), attempts = 0, actions = $1", note)

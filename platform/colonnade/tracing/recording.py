"""Tracing that is on: which spans there are.

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

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from types import MappingProxyType
from typing import Any

import asyncpg
import msgspec
import stripe
from litestar.types import ASGIApp
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode

from colonnade.stripe_api.limits import endpoint
from colonnade.time_limit import Block
from colonnade.tracing.ids import given, root_of
from colonnade.tracing.requests import REQUEST, Traced
from colonnade.tracing.spans import Spans, fail
from colonnade.tracing.switch import F, Tracing
from colonnade.webhooks.inbox import Claimed, Outcome
from colonnade.webhooks.standing import Attributed
from colonnade.webhooks.writer import Received
from colonnade_tenants import watching
from colonnade_tenants.notifications.queue import Attempt
from colonnade_tenants.notifications.queue import Claimed as Notification
from colonnade_tenants.unit import Unit, Units

_BY_HAND = """
select id, not exists (
    select from jsonb_array_elements(actions) a where not a ? 'settled' or (a->'settled')::boolean) as new
from inbox where id = any ($1) and actions <> '[]'
"""
_TENANT = "select public_id from tenants where id = $1"


class _Causes(msgspec.Struct):
    cause: Any = None
    event: Any = None


class _Body(msgspec.Struct):
    data: _Causes


class Recording(Tracing):
    """Puts the spans around the parts of this process."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._tenants: dict[int, str] = {}
        self._again: ContextVar[Mapping[int, bool]] = ContextVar(
            "events put back by hand", default=MappingProxyType({})
        )
        """Each with whether no worker had come to an outcome of it before, so that its root is still to be sent."""
        watching.watch(spans.span)

    def stop(self) -> None:
        watching.watch(None)
        self._spans.finish()

    def application(self, app: ASGIApp) -> ASGIApp:
        return Traced(self._spans.tracer, self._spans.of_event, app)

    def storing(self, store: F) -> F:
        async def traced(row: Received) -> None:
            if request := REQUEST.get():
                request.event = row.event_id, row.type
            with self._spans.span("store"):
                await store(row)

        return traced  # type: ignore[return-value]

    def asking(self, ask: F) -> F:
        async def traced(method: str, path: str, **options: Any) -> Any:
            with self._spans.span(f"{method.upper()} {endpoint(path)}", SpanKind.CLIENT) as span:
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
            self._again.set({row["id"]: row["new"] for row in found})
            return await process(connection, rows)

        return traced  # type: ignore[return-value]

    def handling(self, handle: F) -> F:
        async def traced(units: Units, tenant: Unit, each: Attributed, limit: Block) -> Outcome:
            row = each.row
            about = {
                "colonnade.tenant": await self._tenant(units.connection, each.by.tenant_id),
                "colonnade.rung": each.by.rung,
                "colonnade.attempt": row.attempts + 1,
                "colonnade.by_hand": row.id in self._again.get(),
            }
            with self._spans.span(
                f"handle {row.type}", SpanKind.CONSUMER, self._spans.of_event(row.event_id), about
            ) as span:
                outcome: Outcome = await handle(units, tenant, each, limit)
                span.set_attribute("colonnade.outcome", outcome.state)
                if outcome.error:
                    fail(span, (outcome.reason or "").partition(":")[0])
            return outcome

        return traced  # type: ignore[return-value]

    def settling(self, note: F) -> F:
        def traced(outcome: Outcome, now: float) -> None:
            note(outcome, now)
            row = outcome.event
            # One that was put back by hand after an outcome has had its span, which cannot be sent twice.
            if outcome.state not in ("pending", "held") and self._again.get().get(row.id, True):
                with given(root_of(row.event_id)):
                    span = self._spans.tracer.start_span(
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
            parent = self._spans.of_event(event_id) if event_id.startswith("evt_") else Context()
            about = {"colonnade.notification": delivery.public_id, "colonnade.attempt": delivery.attempts}
            with self._spans.span(f"notify {delivery.type}", SpanKind.CLIENT, parent, about) as span:
                attempt: Attempt = await send(url, secrets, delivery)
                if attempt.status is not None:
                    span.set_attribute("http.response.status_code", attempt.status)
                if attempt.error is not None:
                    fail(span, str(attempt.status or "unanswered"))
            return attempt

        return traced  # type: ignore[return-value]

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


def _note(span: Span, status: int | None, request_id: str | None) -> None:
    """What Stripe answered."""
    if status is not None:
        span.set_attribute("http.response.status_code", status)
    if request_id is not None:
        span.set_attribute("stripe.request_id", request_id)


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e9)

"""Logs without secrets, and the counters that `/metrics` shows."""

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from prometheus_client import Counter, Enum, Gauge, Histogram, disable_created_metrics, start_http_server

from colonnade.tallies import Tally, Times

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, of when it began

REQUESTS = Tally("colonnade_requests", "Requests answered", ["method", "route", "status"])
REQUEST_SECONDS = Times(
    "colonnade_request_seconds", "Time to answer", "route", bounds=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10)
)
RECEIVED = Tally("colonnade_events_received", "Webhook deliveries by answer", ["endpoint", "answer"])
STORED = Tally("colonnade_events_stored", "Webhook deliveries stored, by type", ["endpoint", "type"])
SIGNATURE_FAILURES = Counter(
    "colonnade_signature_failures", "Deliveries refused for their signature, by cause", ["endpoint", "cause"]
)
PROCESSED = Tally("colonnade_events_processed", "Inbox events by outcome", ["type", "outcome"])
LAG = Times(
    "colonnade_event_lag_seconds",
    "Time from an event's arrival until it was done",
    "type",
    bounds=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
)
WAITING = Gauge("colonnade_inbox_events", "Events that wait for a worker, or for someone to decide", ["state"])
OLDEST = Gauge("colonnade_inbox_oldest_seconds", "For how long an event has been due")
SWEPT = Counter("colonnade_events_swept", "Events that were never delivered, found by a sweep", ["endpoint"])
WATERMARK = Gauge(
    "colonnade_events_complete_until", "Unix time up to which no event of the account is missing", ["account"]
)
READINESS = Gauge("colonnade_tenants", "Tenants by what their connected accounts may do", ["readiness"])
STRIPE_CALLS = Tally(
    "colonnade_stripe_calls", "Tries of calls to Stripe by outcome", ["endpoints", "priority", "outcome"]
)
STRIPE_WAITING = Gauge("colonnade_stripe_waiting", "Calls to Stripe that wait for their turn", ["priority"])
STRIPE_WAIT_SECONDS = Times(
    "colonnade_stripe_wait_seconds",
    "Time that a call to Stripe waited for its turn",
    "priority",
    bounds=(0.001, 0.01, 0.05, 0.25, 1, 2.5, 5, 10, 60),
)
STRIPE_CIRCUIT = Enum(
    "colonnade_stripe_circuit", "Whether Stripe is asked at present", states=["closed", "half-open", "open"]
)
NOTIFIED = Counter("colonnade_notifications", "Tries to deliver a notification, by outcome", ["outcome"])
NOTIFICATION_SECONDS = Histogram(
    "colonnade_notification_seconds", "Time of one such try", buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
)
PORTAL_DRIFT = Counter("colonnade_portal_drift", "Differences found at Stripe in portal configurations", ["kind"])

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that this is done for; log lines get it."""

CHECKS = Counter("colonnade_checks", "Customers whose entitlements were checked, by what answered", ["source"])
CHECK_MEMORY = Gauge("colonnade_check_memory_bytes", "Answers to checks that are kept, about")

_SECRETS = re.compile(
    r"((?:sk|rk)_(?:test|live)_|whsec_|col_(?:platform|tenant)_|seti_\w+_secret_|/p/session/|/portal/return/|eyJ)[\w.\-]+"
)


def redact(text: str) -> str:
    """*text* with keys, webhook secrets, tokens, and URLs of portal sessions and of their way back cut short."""
    return _SECRETS.sub(r"\1…", text)


def _add_request_id(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if request_id := REQUEST_ID.get():
        event.setdefault("request_id", request_id)
    return event


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


def _without_traceback(record: logging.LogRecord) -> bool:
    """A pool warns at each try to connect while the database is away: what it met is enough."""
    if record.exc_info and record.exc_info[1]:
        record.msg, record.exc_info = f"{record.msg}: {type(record.exc_info[1]).__name__}", None
    return True


def configure_logging(level: str = "INFO", log_format: str = "console") -> None:
    """Send our own and every library's log lines to standard error, in one format."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _add_request_id,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        # A line that is not wanted costs nothing but this look.
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _redact_event, renderer],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("asyncpg.pool").addFilter(_without_traceback)
    # At DEBUG the SDK writes whole bodies, personal data included.
    logging.getLogger("stripe").setLevel(logging.WARNING)


@contextmanager
def metrics_server(host: str, port: int | None) -> Iterator[None]:
    """Show this process's metrics on a port of their own while the block runs; None: nowhere. Raises `OSError`."""
    if port is None:
        yield
        return
    server, thread = start_http_server(port, host)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""Whether this process is traced, and what stands around its parts then.

Off, unless OpenTelemetry's own variables name an exporter. Nothing of it is imported then, and each part is the very
one that was given: what runs often never asks whether it is traced.
"""

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from litestar.types import ASGIApp

from colonnade.settings import SettingsError

F = TypeVar("F", bound=Callable[..., Any])

Exporter = Literal["otlp", "console"]
Process = Literal["web", "worker"]

# The first that is set counts.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTER = "OTEL_TRACES_EXPORTER"


class Tracing:
    """Off: each part as it is. `recording.Recording` is the other one."""

    def application(self, app: ASGIApp) -> ASGIApp:
        """Around the web application: a span for each request."""
        return app

    def storing(self, store: F) -> F:
        """Around `InboxWriter.store`."""
        return store

    def asking(self, ask: F) -> F:
        """Around the SDK's request to Stripe: a span for each try."""
        return ask

    def processing(self, process: F) -> F:
        """Around `Dispatcher`'s work on a batch."""
        return process

    def handling(self, handle: F) -> F:
        """Around `Runner`'s work on one event: a span for each try."""
        return handle

    def settling(self, note: F) -> F:
        """Around what is done once an event's outcome is committed: the span of the event itself."""
        return note

    def sending(self, send: F) -> F:
        """Around the `attempt` of a notification's `Sender`."""
        return send

    def stop(self) -> None:
        """Send what is recorded, and record no more. Blocks."""


_current = Tracing()


def current() -> Tracing:
    """Of this process."""
    return _current


def start(process: Process, environ: Mapping[str, str] = os.environ) -> Tracing:
    """Trace this process if its environment says so; before its parts are made. Raises `SettingsError`."""
    global _current
    exporter = wanted(environ)
    if exporter is not None:
        # Here, because who traces nothing need not have it installed.
        from colonnade.tracing.recording import Recording
        from colonnade.tracing.spans import Spans

        _current = Recording(Spans(process, exporter))
    return _current


def wanted(environ: Mapping[str, str]) -> Exporter | None:
    """Where traces go; None: nowhere. Raises `SettingsError`.

    The names are those of OpenTelemetry's "Environment Variable Specification".
    """
    named = environ.get(_EXPORTER, "").strip().lower()
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or named == "none":
        return None
    if not named and not _first(environ, _ENDPOINTS)[1]:
        return None
    problems = [*_wrong(environ, named)]
    if not problems and not _installed():
        problems.append(f"{_EXPORTER} or its endpoint is set, but OpenTelemetry is missing: install colonnade[tracing]")
    if problems:
        raise SettingsError(problems)
    return "console" if named == "console" else "otlp"


def _installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # a package that it is in
        return False


def _wrong(environ: Mapping[str, str], named: str) -> list[str]:
    if named == "console":
        return []
    if named not in ("", "otlp"):
        return [f"{_EXPORTER} must be otlp, console or none, not {named!r}"]
    problems = []
    name, text = _first(environ, _PROTOCOLS)
    if text not in ("", "http/protobuf"):
        problems.append(f"{name} must be http/protobuf, not {text!r}")
    name, text = _first(environ, _ENDPOINTS)
    if text and not _is_url(text):
        problems.append(f"{name} must be an http or https URL such as http://127.0.0.1:4318")
    return problems


def _first(environ: Mapping[str, str], names: Sequence[str]) -> tuple[str, str]:
    """The first of *names* that is set, and its text; else two empty strings."""
    given = ((name, environ.get(name, "").strip()) for name in names)
    return next((each for each in given if each[1]), ("", ""))


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # such as `http://[`
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)

"""Which trace an event belongs to: its id says so.

Trace and root span get their ids from Stripe's id of the event. So each process that meets the event, today or at a
replay next month, and whoever reads its id in a log line, knows the trace, and no table has to carry it along.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator


class Root(NamedTuple):
    """The ids of a root span."""

    trace: int
    span: int


def root_of(event_id: str) -> Root:
    """Of the event (`evt_…`)."""
    digest = hashlib.sha256(event_id.encode()).digest()
    return Root(int.from_bytes(digest[:16]), int.from_bytes(digest[16:24]))


_GIVEN: ContextVar[Root | None] = ContextVar("trace root", default=None)


@contextmanager
def given(root: Root) -> Iterator[None]:
    """A block in which the span that is started has these ids."""
    token = _GIVEN.set(root)
    try:
        yield
    finally:
        _GIVEN.reset(token)


class Ids(RandomIdGenerator):
    """Random ids, but for the spans whose ids are `given`."""

    def generate_trace_id(self) -> int:
        root = _GIVEN.get()
        return super().generate_trace_id() if root is None else root.trace

    def generate_span_id(self) -> int:
        root = _GIVEN.get()
        return super().generate_span_id() if root is None else root.span

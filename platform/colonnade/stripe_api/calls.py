"""One call to Stripe, before it is sent: what it asks, for whom, and how urgent it is."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Literal

import msgspec


class Priority(IntEnum):
    """Whose calls go first when not all may: the smaller number's."""

    PORTAL = 0
    """A customer looks at a blank page until their portal session is there."""
    REQUEST = 1
    """A tenant's backend or the platform team waits for an answer."""
    EVENT = 2
    """A handler reads an object again; its event can wait, but it holds a transaction."""
    SWEEP = 3
    """Nobody waits."""

    @property
    def label(self) -> str:
        """Its name in metrics."""
        return self.name.lower()


class Upload(msgspec.Struct, frozen=True):
    """A file that goes with a call, to Stripe's own host for files."""

    name: str
    content: bytes


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """*account*: the connected account that it works on, None for the platform's own; *tenant*: whose turn it takes.

    *reconnecting*: it asks whether an account that had disconnected lets us act for it again. *open_at*: when the
    caller asked the database for the tenant's state, which was not a frozen one (the event loop's time).
    """

    method: str
    path: str
    params: Mapping[str, Any] = {}
    account: str | None = None
    tenant: int | None = None
    priority: Priority = Priority.REQUEST
    idempotency_key: str | None = None
    upload: Upload | None = None
    reconnecting: bool = False
    open_at: float | None = None
    host: Literal["api", "connect"] = "api"

"""A Stripe event, as a handler gets it."""

from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, dict=True):
    """A snapshot event, its signature checked, its tenant known ("The Event object", Stripe API reference).

    *created* has whole seconds, so that two events may share it. *account* is null for the platform's own events.
    *previous_attributes* comes with `*.updated` and the like, and holds what changed: nested objects in part, arrays
    whole. *idempotency_key* is that of the request that caused it; null if none did, or it had none.
    """

    id: str
    type: str
    created: datetime
    account: str | None
    object: msgspec.Raw
    previous_attributes: dict[str, Any] | None = None
    idempotency_key: str | None = None

    @cached_property
    def thing(self) -> dict[str, Any]:
        """*object*, decoded once for all who look into it. Raises `msgspec.DecodeError`."""
        return msgspec.json.decode(self.object, type=dict[str, Any])

    @property
    def cause(self) -> str:
        """What changes are put down to: the event, or `import` where none came and the object was read."""
        return "import" if self.id.startswith("imp_") else self.id

"""A claimed event, read from its stored bytes."""

from typing import Any

import msgspec

from colonnade.webhooks.attribute import Clue, clues
from colonnade.webhooks.inbox import Claimed
from colonnade_tenants.events import Event


class _Data(msgspec.Struct):
    object: msgspec.Raw = msgspec.Raw(b"{}")
    previous_attributes: dict[str, Any] | None = None


class _Related(msgspec.Struct):
    id: str | None = None


class _Request(msgspec.Struct):
    idempotency_key: str | None = None


class _Payload(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)
    related_object: _Related | None = None
    request: _Request | str | None = None  # before 2017 an id


class Delivery(msgspec.Struct, frozen=True):
    """What a handler gets of an event, and what names its tenant."""

    row: Claimed
    event: Event
    clues: list[Clue]

    @property
    def customer(self) -> str:
        """The Stripe customer that it is about (`cus_…`), as far as it says."""
        return next((clue.key.rpartition("/")[2] for clue in self.clues if clue.rung == "customer"), "")


def read(row: Claimed) -> Delivery:
    """Decode the stored body. Raises msgspec's errors with the path, `UnicodeDecodeError`, `RecursionError`."""
    payload = msgspec.json.decode(row.body, type=_Payload)
    data = payload.data
    related = payload.related_object.id if payload.related_object else None
    thing = msgspec.json.decode(data.object, type=dict[str, Any])
    key = payload.request.idempotency_key if isinstance(payload.request, _Request) else None
    event = Event(row.event_id, row.type, row.created, row.account, data.object, data.previous_attributes, key)
    return Delivery(row, event, clues(row.account, thing, data.previous_attributes, related))

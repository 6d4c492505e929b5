"""A claimed event, read from its stored bytes."""

from collections.abc import Mapping
from typing import Any, TypedDict

import msgspec

from colonnade.webhooks.clues import Clue, clues
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


class _Metadata(TypedDict, total=False):
    colonnade_tenant: Any


class _Naming(TypedDict, total=False):
    """What `clues` looks at of an object: decoding the rest takes most of the time."""

    id: Any
    object: Any
    account: Any
    on_behalf_of: Any
    transfer_data: Any
    default_settings: Any
    phases: Any
    parent: Any
    subscription: Any
    configuration: Any
    customer: Any
    product: Any
    metadata: _Metadata | None


_decoder = msgspec.json.Decoder(_Payload)
_naming_decoder = msgspec.json.Decoder(_Naming)


class Delivery(msgspec.Struct, frozen=True):
    """What a handler gets of an event, and what names its tenant."""

    row: Claimed
    event: Event
    clues: list[Clue]

    @property
    def customer(self) -> str:
        """The Stripe customer that it is about (`cus_…`), as far as it says."""
        for clue in self.clues:
            if clue.rung == "customer":
                return clue.key.rpartition("/")[2]
        return ""


def read(row: Claimed) -> Delivery:
    """Decode the stored body. Raises msgspec's errors with the path, `UnicodeDecodeError`, `RecursionError`."""
    payload = _decoder.decode(row.body)
    data = payload.data
    related = payload.related_object.id if payload.related_object else None
    key = payload.request.idempotency_key if isinstance(payload.request, _Request) else None
    event = Event(row.event_id, row.type, row.created, row.account, data.object, data.previous_attributes, key)
    return Delivery(row, event, clues(row.account, _naming(event), data.previous_attributes, related))


def _naming(event: Event) -> Mapping[str, Any]:
    try:
        return _naming_decoder.decode(event.object)
    except msgspec.ValidationError:
        return event.thing  # metadata as Stripe never has it

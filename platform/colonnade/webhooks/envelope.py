"""What receiving reads of an event: enough to store it, whichever API version or payload style it has."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from colonnade.errors import Invalid
from colonnade.stripe_api.charges import qualified

# PostgreSQL's text takes no NUL, and one row that it refuses would fail the others of its batch.
_Word = Annotated[str, Meta(pattern=r"^[!-~]{1,255}\Z")]
_Seconds = Annotated[int, Meta(ge=0, lt=253_402_300_800)]  # until the year 9999

NO_LANE = "-"
_PER_ACCOUNT = ("account.", "capability.", "person.")


class _Object(Struct):
    id: _Word | None = None
    on_behalf_of: Any = None
    transfer_data: Any = None


class _Data(Struct):
    object: _Object


class Envelope(Struct):
    """A snapshot event (`event`) or a thin one (`v2.core.event`), down to the ids."""

    id: _Word
    object: Literal["event", "v2.core.event"]
    type: _Word
    created: _Seconds | Annotated[datetime, Meta(tz=True)]
    livemode: bool
    api_version: _Word | None = None
    account: _Word | None = None
    context: _Word | None = None
    data: _Data | None = None
    related_object: _Object | None = None

    @property
    def connected_account(self) -> str | None:
        """The account that the event happened on; None: the platform's own.

        A thin event says it as the last part of its `context`.
        """
        last = (self.context or "").rpartition("/")[2]
        return self.account or (last if self.object != "event" and last.startswith("acct_") else None)

    @property
    def created_at(self) -> datetime:
        """When Stripe made the event."""
        return self.created if isinstance(self.created, datetime) else datetime.fromtimestamp(self.created, UTC)

    @property
    def key(self) -> str:
        """What the queue is serial by: the object that the event is about.

        Events about an account go by the account, and what lives on one is named with it: the id of a capability is the
        same on each, and that of a product as its owner likes.
        """
        if self.connected_account and self.type.startswith(_PER_ACCOUNT):
            return self.connected_account
        thing = self.data.object if self.data else self.related_object
        return qualified(self.connected_account, thing.id) if thing and thing.id else self.id

    @property
    def lane(self) -> str:
        """Whose turn it is handled in: the account that the event itself names; of the others all share one.

        A hint for fairness alone: whose the event is, only `attribute` says.
        """
        thing = self.data.object if self.data else None
        transfer = thing.transfer_data if thing and isinstance(thing.transfer_data, dict) else {}
        named = (self.connected_account, thing and thing.on_behalf_of, transfer.get("destination"))
        return next((name for name in named if isinstance(name, str) and _ACCOUNT.fullmatch(name)), NO_LANE)


_ACCOUNT = re.compile(r"acct_[!-~]{1,250}")
_decoder = msgspec.json.Decoder(Envelope)


def decode(body: bytes) -> Envelope:
    """The envelope of a signed body. Raises `Invalid` for what is no event."""
    try:
        envelope = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is no event: {error}", "body") from error
    if envelope.object == "event" and envelope.data is None:
        raise Invalid("The body is no event: it has no `data.object`.", "body")
    return envelope


class Identity(Struct):
    """What an event of any shape has."""

    id: _Word
    type: _Word = "unknown"


_least = msgspec.json.Decoder(Identity)


def identify(body: bytes, error: Invalid) -> Identity:
    """What event a signed body is that `decode` refused with *error*. Raises *error* where it is none at all."""
    try:
        return _least.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise error from None

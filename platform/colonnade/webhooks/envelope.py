"""What receiving reads of an event: enough to store it, whichever API version or payload style it has."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from colonnade.errors import Invalid
from colonnade.stripe_api.charges import qualified

_Word = Annotated[str, Meta(min_length=1, max_length=255)]
_ODD = re.compile(r"[^!-~]")  # PostgreSQL's text takes no NUL, for one
_Seconds = Annotated[int, Meta(ge=0, lt=253_402_300_800)]  # until the year 9999

NO_LANE = "-"
_PER_ACCOUNT = ("account.", "capability.", "person.")


class _Object(Struct):
    id: _Word | None = None
    livemode: Any = None
    on_behalf_of: Any = None
    transfer_data: Any = None


class _Data(Struct):
    object: _Object


class _Related(Struct):
    id: _Word | None = None


class Envelope(Struct, tag_field="object", kw_only=True):
    """An event down to the ids. What `__post_init__` refuses, msgspec reports as it does all else."""

    id: _Word
    type: _Word
    created: _Seconds | Annotated[datetime, Meta(tz=True)]
    livemode: bool = None  # type: ignore[assignment] # what leaves it out is read further or refused
    api_version: _Word | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.livemode, bool):
            raise ValueError("Object missing required field `livemode`")
        # At once: a pattern for each field takes twice as long as all the rest of decoding (measured).
        if _ODD.search(f"{self.id}{self.type}{self.api_version}{self.connected_account}{self.object_id}"):
            raise ValueError(f"An id, the type or the version has a character that none has, at `{self._odd()}`")
        if isinstance(self.created, datetime):
            try:
                self.created.astimezone(UTC)
            except OverflowError:
                raise ValueError("`created` is no time") from None

    def _odd(self) -> str:
        names = ("id", "type", "api_version", "connected_account", "object_id")
        return next(name for name in names if _ODD.search(str(getattr(self, name))))

    @property
    def connected_account(self) -> str | None:
        """The account that the event happened on; None: the platform's own."""
        raise NotImplementedError

    @property
    def object_id(self) -> str | None:
        """The id of what the event is about, as Stripe says it; some things have none."""
        raise NotImplementedError

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
        return qualified(self.connected_account, self.object_id) if self.object_id else self.id

    @property
    def lane(self) -> str:
        """Whose turn it is handled in: the account that the event itself names; of the others all share one.

        A hint for fairness alone: whose the event is, only `attribute` says.
        """
        for name in self._named():
            if isinstance(name, str) and _ACCOUNT.fullmatch(name):
                return name
        return NO_LANE

    def _named(self) -> tuple[Any, ...]:
        return (self.connected_account,)


class Snapshot(Envelope, tag="event", kw_only=True):
    """An event with its object, of any API version: until 2017 the account was its `user_id`."""

    data: _Data
    account: _Word | None = None
    user_id: _Word | None = None

    def __post_init__(self) -> None:
        if self.livemode is None:
            self.livemode = self.data.object.livemode
        super().__post_init__()

    @property
    def connected_account(self) -> str | None:
        return self.account or self.user_id

    @property
    def object_id(self) -> str | None:
        return self.data.object.id

    def _named(self) -> tuple[Any, ...]:
        thing = self.data.object
        transfer = thing.transfer_data if isinstance(thing.transfer_data, dict) else {}
        return (self.connected_account, thing.on_behalf_of, transfer.get("destination"))


class Thin(Envelope, tag="v2.core.event", kw_only=True):
    """An event that only refers to its object; its account is the last part of its `context`."""

    context: _Word | None = None
    related_object: _Related | None = None

    @property
    def connected_account(self) -> str | None:
        last = (self.context or "").rpartition("/")[2]
        return last if last.startswith("acct_") else None

    @property
    def object_id(self) -> str | None:
        return self.related_object.id if self.related_object else None


_ACCOUNT = re.compile(r"acct_[!-~]{1,250}")
_decoder: msgspec.json.Decoder[Snapshot | Thin] = msgspec.json.Decoder(Snapshot | Thin)


def decode(body: bytes) -> Envelope:
    """The envelope of a signed body. Raises `Invalid` for what is no event."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"The body is no event: {error}", "body") from error


class Identity(Struct):
    """What an event of any shape has."""

    id: Annotated[str, Meta(pattern=r"^[!-~]{1,255}\Z")]
    type: Annotated[str, Meta(pattern=r"^[!-~]{1,255}\Z")] = "unknown"


_least = msgspec.json.Decoder(Identity)


def identify(body: bytes, error: Invalid) -> Identity:
    """What event a signed body is that `decode` refused with *error*. Raises *error* where it is none at all."""
    try:
        return _least.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise error from None

"""What receiving reads of an event: enough to store it, whichever API version or payload style it has."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from colonnade.errors import Invalid
from colonnade.stripe_api.charges import qualified

_Word = Annotated[str, Meta(min_length=1, max_length=255)]
_Seconds = Annotated[int, Meta(ge=0, lt=253_402_300_800)]  # until the year 9999
_ACCOUNT = re.compile(r"acct_[!-~]{1,250}")

NO_LANE = "-"
_PER_ACCOUNT = ("account.", "capability.", "person.")


class Envelope(NamedTuple):
    """What the inbox says of an event beside its body; the fields are its columns."""

    event_id: str
    account: str | None
    """That the event happened on; None: the platform's own."""
    type: str
    object_id: str
    """What the queue is serial by: the object that the event is about.

    Events about an account go by the account, and what lives on one is named with it: the id of a capability is the
    same on each, and that of a product as its owner likes.
    """
    created: datetime
    api_version: str | None
    livemode: bool
    lane: str
    """Whose turn it is handled in: the account that the event itself names; of the others all share one.

    A hint for fairness alone: whose the event is, only `attribute` says.
    """


class _Object(Struct):
    id: _Word | None = None
    livemode: Any = None
    on_behalf_of: Any = None
    transfer_data: Any = None


class _Data(Struct):
    object: _Object


class _Related(Struct):
    id: _Word | None = None


class _Event(Struct, tag_field="object", kw_only=True):
    id: _Word
    type: _Word
    created: _Seconds | Annotated[datetime, Meta(tz=True)]
    livemode: bool | None = None
    api_version: _Word | None = None


class _Snapshot(_Event, tag="event", kw_only=True):
    """With its object, of any API version: until 2017 the account was its `user_id`."""

    data: _Data
    account: _Word | None = None
    user_id: _Word | None = None

    def envelope(self) -> Envelope:
        account, thing = self.account or self.user_id, self.data.object
        livemode = thing.livemode if self.livemode is None else self.livemode
        transfer = thing.transfer_data if isinstance(thing.transfer_data, dict) else {}
        return _envelope(self, livemode, account, thing.id, (account, thing.on_behalf_of, transfer.get("destination")))


class _Thin(_Event, tag="v2.core.event", kw_only=True):
    """That only refers to its object; its account is the last part of its `context`."""

    context: _Word | None = None
    related_object: _Related | None = None

    def envelope(self) -> Envelope:
        last = (self.context or "").rpartition("/")[2]
        account = last if last.startswith("acct_") else None
        thing = self.related_object.id if self.related_object else None
        return _envelope(self, self.livemode, account, thing, (account,))


def _envelope(event: _Event, livemode: Any, account: str | None, thing: str | None, named: Iterable[Any]) -> Envelope:
    """Of an event about *thing*; its lane is the first of *named* that is an account. Raises `ValueError`."""
    if not isinstance(livemode, bool):
        raise ValueError("Object missing required field `livemode`")
    # At once: a pattern for each field takes twice as long as all the rest of decoding (measured).
    if _odd(f"{event.id}{event.type}{event.api_version}{account}{thing}"):
        parts = {"id": event.id, "type": event.type, "api_version": event.api_version, "account": account}
        odd = next((name for name, text in parts.items() if text and _odd(text)), "object's id")
        raise ValueError(f"An id, the type or the version has a character that none has, at `{odd}`")
    if account and event.type.startswith(_PER_ACCOUNT):
        key = account
    else:
        key = qualified(account, thing) if thing else event.id
    lane = NO_LANE
    for name in named:
        if isinstance(name, str) and _ACCOUNT.fullmatch(name):
            lane = name
            break
    created = datetime.fromtimestamp(event.created, UTC) if isinstance(event.created, int) else _possible(event.created)
    return Envelope(event.id, account, event.type, key, created, event.api_version, livemode, lane)


def _odd(text: str) -> bool:
    """Whether it has other than visible ASCII: PostgreSQL's text takes no NUL, for one."""
    return not (text.isascii() and text.isprintable()) or " " in text


def _possible(created: datetime) -> datetime:
    try:
        created.astimezone(UTC)
    except OverflowError:
        raise ValueError("`created` is no time") from None
    return created


_decoder: msgspec.json.Decoder[_Snapshot | _Thin] = msgspec.json.Decoder(_Snapshot | _Thin)


def decode(body: bytes) -> Envelope:
    """The envelope of a signed body. Raises `Invalid` for what is no event."""
    try:
        return _decoder.decode(body).envelope()
    except (ValueError, RecursionError) as error:  # of msgspec and Unicode too
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

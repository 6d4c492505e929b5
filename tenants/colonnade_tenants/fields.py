"""Fields as Stripe's objects have them."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]
"""Unix seconds, up to the year 9999."""


class Expanded(Struct, frozen=True):
    """An object in place of its id: events carry ids, replies to a read may have been expanded."""

    id: str


Reference = str | Expanded


def id_of(value: Reference) -> str:
    """The id of an object that may have been expanded."""
    return value if isinstance(value, str) else value.id


def optional_id(value: Reference | None) -> str | None:
    """The id, if there is one."""
    return None if value is None else id_of(value)


@lru_cache(maxsize=4_096)
def moment(seconds: int) -> datetime:
    """Stripe's time. The events of one object say the same times again and again."""
    return datetime.fromtimestamp(seconds, UTC)


def optional_moment(seconds: int | None) -> datetime | None:
    """Stripe's time, if there is one."""
    return None if seconds is None else moment(seconds)

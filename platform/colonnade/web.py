"""What several routes share: request headers, pages of a list, lines of JSON, URLs given by callers."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from colonnade.errors import Invalid
from colonnade_tenants.ids import new_id
from colonnade_tenants.times import RULE, require_moment

R = TypeVar("R")
T = TypeVar("T")

LONGEST_KEY = 200
"""Characters of an Idempotency-Key."""
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        min_length=1,
        max_length=LONGEST_KEY,
        description="Repeating a request with the same key does it once.",
    ),
]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Rows on a page.")]
After = Annotated[str | None, QueryParameter(description="`next` of the page before.")]
TIME = {"format": "date-time"}
"""Of a query parameter that `parse_time` reads: what its schema says beside."""
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
"""A name or an address as it stands in a URL. A `*` or a `%` would match no page that browsers show."""
LINES = "application/x-ndjson"
"""The media type of `lines_of_json`."""


class Page(msgspec.Struct, Generic[T]):
    """One page of a list; *next* is the `after` of the page that follows, null on the last."""

    data: list[T]
    next: str | None = None


def page_of(found: Sequence[R], limit: int, place: Callable[[R], object], shown: Callable[[R], T]) -> Page[T]:
    """The first *limit* of *found*, *shown*; it has one more where a page follows, which begins after a *place*."""
    following = cursor(str(place(found[limit - 1]))) if len(found) > limit else None
    return Page([shown(each) for each in found[:limit]], following)


def lines_of_json(lines: AsyncIterator[bytes]) -> Stream:
    """*lines*, as they come."""
    return Stream(lines, media_type=LINES, headers={"Cache-Control": "no-store"})


def as_it_is(thing: T) -> T:
    """For `page_of`: what is found is what is shown."""
    return thing


def cursor(value: str) -> str:
    """*value* as an opaque cursor."""
    return base64.urlsafe_b64encode(value.encode()).decode().rstrip("=")


def from_cursor(text: str | None) -> str | None:
    """The value in a cursor. Raises `Invalid`."""
    if text is None:
        return None
    try:
        if found := base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode():
            return found
        raise ValueError(text)
    except ValueError as error:
        raise Invalid("This is not the `next` of a page.", "after") from error


def number_from_cursor(text: str | None, digits: int = 18) -> int | None:
    """The number in a cursor, of at most so many *digits*. Raises `Invalid`."""
    value = from_cursor(text)
    if value is not None and not (value.isascii() and value.isdigit() and len(value) <= digits):
        raise Invalid("This is not the `next` of a page.", "after")
    return None if value is None else int(value)


def aware_time(text: str) -> datetime:
    """The time in *text*, in UTC. Raises `ValueError`, also for one without a zone, or whose year in UTC is no year."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("Give the time's zone; Z for UTC.")
    try:
        return found.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("No such time.") from error


def parse_time(text: str | None, param: str) -> datetime | None:
    """A time in a query; see `colonnade_tenants.times`. Raises `Invalid`."""
    try:
        # In a query a plus sign is a space.
        found = None if text is None else datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise Invalid(f"{RULE} Such as 2026-12-01T00:00:00Z.", param) from error
    return None if found is None else require_moment(found, param).astimezone(UTC)


def stripe_key(*parts: str, given: str | None) -> str:
    """An idempotency key for Stripe that stays the same when the caller repeats its own *given* key."""
    name = hashlib.sha256((given or new_id("once")).encode()).hexdigest()[:40]
    return ":".join((*parts, name))


def origin(url: str, param: str) -> str:
    """The origin of *url* (`https://shop.example`), lower case. Raises `Invalid`.

    Plain http is for loopback alone, where a developer runs both ends.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid("This is not a URL.", param) from error
    host = (parts.hostname or "").lower()
    loopback = host in {"localhost", "127.0.0.1", "::1"}
    # Browsers drop some characters, turn others into slashes or dots, and would read another host than we do.
    odd = "\\" in url or not (url.isascii() and url.isprintable()) or " " in url
    if odd or not _HOST.fullmatch(host) or parts.username is not None or parts.scheme not in {"https", "http"}:
        raise Invalid("Give an absolute https URL of one host, without user name.", param)
    if parts.scheme == "http" and not loopback:
        raise Invalid("Only https is accepted (http for loopback).", param)
    default = {"https": 443, "http": 80}[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, default) else "")


def allowed_url(url: str, origins: list[str], param: str) -> str:
    """*url*, whose origin is one of *origins*. Raises `Invalid`."""
    if origin(url, param) not in origins:
        raise Invalid(f"{origin(url, param)} is not one of this tenant's return_origins.", param)
    return url

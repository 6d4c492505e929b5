"""How a route says that it will go: `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and a link to what to do.

    @get("/old", opt=deprecated(since=date(2027, 1, 4), sunset=date(2027, 7, 5), guide="https://…"))

The OpenAPI document marks its operation as deprecated by the same entry.
"""

from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any, cast

OPT = "deprecation"
"""Of a route's `opt`."""

Pairs = tuple[tuple[bytes, bytes], ...]


def deprecated(*, since: date, sunset: date, guide: str) -> dict[str, Any]:
    """What a route's `opt` says: *sunset* is the first day on which it may be gone, *guide* the page that tells more.

    Raises `ValueError` where the sunset is not six months later at least, as `docs/versioning.md` promises.
    """
    if (sunset - since).days < 180:
        raise ValueError(f"{sunset} is less than six months after {since}")
    pairs: Pairs = (
        (b"deprecation", f"@{int(_midnight(since).timestamp())}".encode()),
        (b"sunset", format_datetime(_midnight(sunset), usegmt=True).encode()),
        (b"link", f'<{guide}>; rel="deprecation"; type="text/html"'.encode()),
    )
    return {OPT: pairs}


def headers_of(route_handler: object) -> Pairs:
    """The headers of a route's answers; none unless it is deprecated."""
    opt: dict[str, Any] = getattr(route_handler, "opt", {})
    return cast("Pairs", opt.get(OPT, ()))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)

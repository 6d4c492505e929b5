"""The headers that every answer carries, and the request's id."""

import re
from collections.abc import Iterable

from colonnade.conventions.deprecation import headers_of

Headers = Iterable[tuple[bytes, bytes]]

_GIVEN = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_ID_NAMES = frozenset({b"request-id", b"x-request-id"})
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_NO_PAGE = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
)
"""For an answer that says no policy of its own: it is data, and no page may be made of it."""
_HTTPS_ALONE = (b"strict-transport-security", b"max-age=31536000")


def given_id(headers: Headers) -> str | None:
    """The id that the caller gave its request, if it is one that can stand in a log line as it is."""
    for name, value in headers:
        if name in _ID_NAMES and _GIVEN.fullmatch(value):
            return value.decode()
    return None


class Shield:
    """The security headers of a service that browsers reach at *base_url*."""

    def __init__(self, base_url: str) -> None:
        # Of this host alone: what else the platform runs below its domain is not ours to decide.
        self._always = (*_ALWAYS, _HTTPS_ALONE) if base_url.startswith("https://") else _ALWAYS

    def around(self, headers: Headers, route_handler: object | None) -> list[tuple[bytes, bytes]]:
        """*headers* of an answer, and those that it lacks; with them what *route_handler* says of its end."""
        found = list(headers)
        found += self._always
        if not any(name == b"content-security-policy" for name, _ in found):
            found += _NO_PAGE
        if route_handler is not None:
            found += headers_of(route_handler)
        return found

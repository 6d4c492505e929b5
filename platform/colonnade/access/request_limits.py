"""How many requests a tenant's keys may make in a minute, each web process counting by itself.

The headers are those of the IETF draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers).
"""

import math
from typing import NamedTuple

MINUTE = 60.0
MOST = 100_000
"""Tenants that are counted; beyond, windows that are over are dropped."""

Headers = list[tuple[bytes, bytes]]


class Window:
    """One tenant's minute."""

    __slots__ = ("left", "until")

    def __init__(self, left: int, until: float) -> None:
        self.left = left
        self.until = until


class Spent(NamedTuple):
    """*ok*: the request may go on. *retry_after* is in seconds."""

    ok: bool
    headers: Headers
    retry_after: int


class RequestLimits:
    """At most *limit* requests of a tenant in a minute that begins with its first; 0: no limit, and no headers.

    Times are in seconds of one clock.
    """

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        self._name = name
        self._policy = (b"ratelimit-policy", f'"{name}";q={limit};w={MINUTE:.0f}'.encode())
        self._windows: dict[int, Window] = {}

    def spend(self, tenant_id: int, now: float) -> Spent:
        """Count one request."""
        window = self._windows.get(tenant_id)
        if window is None or now >= window.until:
            window = self._opened(tenant_id, now)
        ok = window.left > 0
        if ok:
            window.left -= 1
        seconds = min(math.ceil(window.until - now), int(MINUTE))  # a sum of floats may be above
        state = f'"{self._name}";r={window.left};t={seconds}'.encode()
        return Spent(ok, [self._policy, (b"ratelimit", state)], seconds)

    def _opened(self, tenant_id: int, now: float) -> Window:
        if len(self._windows) >= MOST:
            self._windows = {key: window for key, window in self._windows.items() if now < window.until}
        window = self._windows[tenant_id] = Window(self.limit, now + MINUTE)
        return window

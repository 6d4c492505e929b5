"""Wrong keys: whoever sends too many is not looked up any more for the rest of the minute.

A key is too long to be guessed; this keeps a guesser from the database, and shows in the log. Tries are counted for an
address, and never for a key alone: the beginning of a key is no secret, and whoever knew it could lock its owner out.
Of one address only different keys count together, so that one outdated key in a loop does not lock out the others
beside it.
"""

import math
from collections import OrderedDict

import structlog

from colonnade.errors import TooMany

log = structlog.get_logger()

MINUTE = 60.0
MOST = 10_000
"""Addresses, and keys of an address, that are counted: the longest untouched are forgotten first."""


class _Tries:
    """Wrong keys since a moment; *keys* the different ones."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.count = 0
        self.keys: set[bytes] = set()


class Lockouts:
    """At most *limit* different wrong keys of an address in a minute, and as many tries with those that begin alike.

    Times are in seconds of one clock.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tries: OrderedDict[tuple[str, str], _Tries] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tries)

    def check(self, address: str, prefix: str, now: float) -> None:
        """Raises `TooMany` where the address, or it with this key, has had enough."""
        alone, together = self._current((address, prefix), now), self._current((address, ""), now)
        for tries, used in ((alone, alone.count), (together, len(together.keys))):
            if used >= self._limit:
                wait = math.ceil(tries.since + MINUTE - now)
                raise TooMany("Too many requests came with keys that are not valid.", max(1, wait))

    def failed(self, address: str, prefix: str, digest: bytes, now: float) -> None:
        """Count one wrong key."""
        for key in ((address, prefix), (address, "")):
            tries = self._tries[key] = self._current(key, now)
            tries.count += 1
            if len(tries.keys) < self._limit:
                tries.keys.add(digest[:8])
            self._tries.move_to_end(key)
            if tries.count == self._limit:
                log.warning("many wrong keys", address=address, prefix=prefix)
        while len(self._tries) > MOST:
            self._tries.popitem(last=False)

    def _current(self, key: tuple[str, str], now: float) -> _Tries:
        tries = self._tries.get(key)
        return tries if tries is not None and now - tries.since < MINUTE else _Tries(now)

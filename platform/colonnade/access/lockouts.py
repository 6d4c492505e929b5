"""Wrong keys: whoever sends too many is told to wait for the rest of the minute.

A key is too long to be guessed; this slows a guesser's programs down, and shows in the log. A valid key is served all
the same: behind a proxy that is not named all callers have one address, and a stranger must not shut them out. Tries
are counted for an address, and never for a key alone: the beginning of a key is no secret. Of one
address only different keys count together, so that one outdated key in a loop does not lock out the others beside it.
"""

import math
from collections import OrderedDict

import structlog

from colonnade.errors import TooMany

log = structlog.get_logger()

MINUTE = 60.0
MOST = 10_000
"""Addresses, and keys of an address, that are counted: the longest untouched are forgotten first."""
_ALL = "*"
"""In place of a part of a key, which it never is: all keys of the address."""


class _Tries:
    """Wrong keys since a moment: *count* of one, or *keys*, the different ones of an address."""

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

    def check(self, address: str, part: str, now: float) -> None:
        """Raises `TooMany` where the address, or it with this part of a key, has had enough."""
        alone, together = self._current((address, part), now), self._current((address, _ALL), now)
        for tries, used in ((alone, alone.count), (together, len(together.keys))):
            if used >= self._limit:
                wait = math.ceil(tries.since + MINUTE - now)
                raise TooMany("Too many requests came with keys that are not valid.", max(1, wait))

    def failed(self, address: str, part: str, digest: bytes, now: float) -> None:
        """Count one wrong key. *part*: what is known of it, by which it is counted alone."""
        alone, together = self._touched((address, part), now), self._touched((address, _ALL), now)
        alone.count += 1
        full = len(together.keys) >= self._limit
        if not full:
            together.keys.add(digest[:8])
        if alone.count == self._limit or (not full and len(together.keys) == self._limit):
            log.warning("many wrong keys", address=address, part=part)
        while len(self._tries) > MOST:
            self._tries.popitem(last=False)

    def _touched(self, key: tuple[str, str], now: float) -> _Tries:
        tries = self._tries[key] = self._current(key, now)
        self._tries.move_to_end(key)
        return tries

    def _current(self, key: tuple[str, str], now: float) -> _Tries:
        tries = self._tries.get(key)
        return tries if tries is not None and now - tries.since < MINUTE else _Tries(now)

"""API keys that were looked up lately, and whose they are, for what is asked most: checks and portal sessions.

A key or a tenant that changes is announced by its table's trigger, and then all are looked up again.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

MOST = 20_000
"""Pairs of a key and a tenant that are kept: some hundred bytes each."""

C = TypeVar("C")


class KnownKeys(Generic[C]):
    """Callers by their key's digest and the tenant that they asked for.

    *current* says of a monotonic time whether every announcement until about then has been heard.
    """

    CHANNEL = "colonnade_keys"

    def __init__(self, current: Callable[[float], bool]) -> None:
        self._current = current
        self._callers: OrderedDict[tuple[bytes, str], tuple[C, float]] = OrderedDict()
        self.generation = 0
        """Counts up whenever they are forgotten. What a look-up finds counts for the generation that it began in."""

    def get(self, digest: bytes, tenant: str) -> C | None:
        """Who that is, if it is known and may be trusted."""
        found = self._callers.get((digest, tenant))
        now = time.monotonic()
        if found is None or now >= found[1] or not self._current(now):
            return None
        self._callers.move_to_end((digest, tenant))
        return found[0]

    def keep(self, digest: bytes, tenant: str, caller: C, generation: int, until: float = float("inf")) -> None:
        """Keep what a look-up that began in *generation* found, until the key expires (monotonic time)."""
        if generation == self.generation:
            self._callers[digest, tenant] = caller, until
            if len(self._callers) > MOST:
                self._callers.popitem(last=False)

    def forget(self) -> None:
        """Forget them all."""
        self._callers.clear()
        self.generation += 1

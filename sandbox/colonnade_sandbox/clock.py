"""The sandbox's time: the wall clock plus a shift that tests and demos may add."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

# Seconds.
HOUR = 3600
DAY = 24 * HOUR


class Clock:
    """Whole seconds since 1970, as the API gives them."""

    def __init__(self, shift: int = 0) -> None:
        self.shift = shift
        self._frozen: int | None = None

    def now(self) -> int:
        return self._frozen if self._frozen is not None else int(time.time()) + self.shift

    @contextmanager
    def at(self, moment: int) -> Iterator[None]:
        """Inside the block it is `moment`: due work happens at the second when it fell due."""
        before, self._frozen = self._frozen, moment
        try:
            yield
        finally:
            self._frozen = before

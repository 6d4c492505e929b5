"""How many customers may wait by a stream at a time: each is looked after ten times a second."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from colonnade.errors import Unavailable

OF_TENANT = 25
"""Streams of one tenant's customers, in a process."""
OF_PROCESS = 100
AGAIN = 2
"""Seconds after which a page that found no room comes again: it waits by refreshing then."""


class Room:
    """The streams that are open in this process."""

    def __init__(self) -> None:
        self._open: Counter[int] = Counter()

    def require(self, tenant_id: int) -> None:
        """Raise `Unavailable` if there are too many already."""
        if self._open[tenant_id] >= OF_TENANT or self._open.total() >= OF_PROCESS:
            raise Unavailable("Too many customers wait here by streams.", retry_after=AGAIN)

    @contextmanager
    def taken(self, tenant_id: int) -> Iterator[None]:
        """A block as one stream of the tenant's."""
        self._open[tenant_id] += 1
        try:
            yield
        finally:
            self._open[tenant_id] -= 1
            self._open += Counter()  # forgets whom it counts none of

"""The circuit breaker: while Stripe fails, calls are refused here instead of waiting for it to fail again.

Times are seconds of any clock that never goes back.
"""

from collections import Counter
from enum import StrEnum

FAILURES = 5
"""Failures in a row that open it."""
ALONE = 20
"""Failures in a row that open it if all are one tenant's: its own requests may be what Stripe fails at."""
SHORTEST, LONGEST = 5.0, 60.0
"""Seconds that it stays open; they double with each probe that fails."""
PROBE = 20.0
"""Seconds after which a probe that was never heard of again counts as lost."""


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Closed while Stripe answers, whatever it answers. Open: nothing is sent. Half-open: one probe is under way."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self._failed: Counter[int | None] = Counter()
        self._pause = SHORTEST
        self._until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until asking may help; 0 if it may now."""
        if self.state is State.CLOSED or now >= self._until:
            return 0.0
        return 1.0 if self.state is State.HALF_OPEN else self._until - now

    def admit(self, now: float) -> float:
        """As `wait`, for a call that is sent at once where this is 0: after a pause it is the only one, the probe."""
        left = self.wait(now)
        if self.state is not State.CLOSED and not left:
            self.state, self._until = State.HALF_OPEN, now + PROBE
        return left

    def answered(self) -> None:
        """Stripe answered."""
        self.state = State.CLOSED
        self._failed.clear()
        self._pause = SHORTEST

    def failed(self, now: float, tenant: int | None) -> None:
        """Stripe did not answer a call of *tenant* (None: the platform's own), or with a failure of its own."""
        if self.state is State.OPEN:
            return  # it was under way when the others failed
        if self.state is State.HALF_OPEN:
            self._pause = min(LONGEST, self._pause * 2)
        else:
            self._failed[tenant] += 1
            alone = len(self._failed) == 1 and None not in self._failed
            if self._failed.total() < (ALONE if alone else FAILURES):
                return
        self.state, self._until = State.OPEN, now + self._pause

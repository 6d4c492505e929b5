"""A token bucket that slows down when Stripe says so. Times are seconds of any clock that never goes back."""

SMOOTH = 0.8
"""The part of a limit that comes as a steady rate. The rest is the burst, so that no second exceeds the limit."""
RECOVERY = 60.0
"""Seconds in which a rate grows by the whole of itself."""
SLOWEST = 1 / 32
"""Of the full rate: a bucket never stands still."""
ONE_CUT = 1.0
"""Seconds in which refusals count as one: calls that were under way together are refused together."""
_DUST = 1e-9  # what adding up fractions may lose


class Bucket:
    """At most `burst` calls at once, and `full` a second; at least one call, however small the *limit* (per second)."""

    def __init__(self, limit: float, now: float) -> None:
        self.full = limit * SMOOTH
        self.burst = max(1.0, limit * (1 - SMOOTH))
        self._tokens = self.burst
        self._at = now
        self._cut = self.full
        self._cut_at = float("-inf")

    def rate(self, now: float) -> float:
        """Calls a second, at present."""
        return min(self.full, self._cut + self.full * (now - self._cut_at) / RECOVERY)

    def ready(self, now: float) -> bool:
        """Whether a call may be sent."""
        self._refill(now)
        return self._tokens >= 1 - _DUST and self._at <= now

    def ready_at(self, now: float) -> float:
        """When the next call may be sent, if none is before."""
        self._refill(now)
        return self._at + max(0.0, 1 - self._tokens) / self.rate(self._at)

    def full_up(self, now: float) -> bool:
        """Whether it is as good as new."""
        self._refill(now)
        return self._tokens >= self.burst and self.rate(now) >= self.full

    def take(self) -> None:
        """A call is sent. Ask whether it is ready before."""
        self._tokens -= 1

    def give_back(self) -> None:
        """A call that was to be sent is not."""
        self._tokens = min(self.burst, self._tokens + 1)

    def slow_down(self, now: float, pause: float) -> None:
        """Stripe refused a call for its rate: nothing for *pause* seconds, then half as fast, and slowly faster."""
        self._refill(now)
        if now - self._cut_at >= ONE_CUT:
            self._cut, self._cut_at = max(self.full * SLOWEST, self.rate(now) / 2), now
        self._tokens = min(self._tokens, 0.0)
        self._at = max(self._at, now + pause)

    def _refill(self, now: float) -> None:
        if now > self._at:
            # The rate only grows meanwhile: this is never too much.
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate(self._at))
            self._at = now

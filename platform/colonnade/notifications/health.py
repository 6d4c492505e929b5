"""When a delivery is tried again, when an endpoint is left alone for a while, and when it is given up."""

import random
from datetime import datetime, timedelta

import msgspec

from colonnade_tenants.notifications.queue import Attempt

_MINUTE, _HOUR = 60, 3600
PAUSES = (
    *(5, 30, 2 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
    *(1 * _HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR),
    *(12 * _HOUR, 12 * _HOUR, 12 * _HOUR, 12 * _HOUR, 8 * _HOUR),
)
"""Seconds between two tries of one delivery: about three days in all."""
GIVE_UP = timedelta(days=3)
"""An endpoint that failed for so long, without a success between, is disabled."""
PATIENCE = 5
"""Failures in a row after which an endpoint is only probed, by one delivery at a time."""
LONGEST_PROBE_PAUSE = 600
GONE = 410
"""The reply by which an endpoint asks to be disabled ("Webhook consumers", Standard Webhooks)."""


def pause(attempts: int, retry_after: int | None = None) -> float | None:
    """Seconds until a delivery that failed *attempts* times is tried again; None: it is given up.

    Spread, so that what failed together does not come back together.
    """
    if attempts > len(PAUSES):
        return None
    spread: float = random.uniform(0.9, 1.1)  # noqa: S311 - nothing to guess
    return max(PAUSES[attempts - 1] * spread, retry_after or 0)


class Health(msgspec.Struct, frozen=True):
    """How an endpoint does. *given_up* says why it is to be disabled."""

    failures: int = 0
    failing_since: datetime | None = None
    paused_until: datetime | None = None
    given_up: str | None = None


def after(health: Health, attempt: Attempt, now: datetime) -> Health:
    """How it does after one more try."""
    if attempt.error is None:
        return Health()
    failures, since = health.failures + 1, health.failing_since or now
    reason = None
    if attempt.status == GONE:
        reason = "It answered 410: gone."
    elif now - since >= GIVE_UP:
        reason = f"Every try failed for {GIVE_UP.days} days. The last: {attempt.error}"
    return Health(failures, since, _paused_until(failures, now), reason)


def _paused_until(failures: int, now: datetime) -> datetime | None:
    if failures < PATIENCE:
        return None
    return now + timedelta(seconds=min(5 * 2.0 ** min(failures - PATIENCE, 20), LONGEST_PROBE_PAUSE))

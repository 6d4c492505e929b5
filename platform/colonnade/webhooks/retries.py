"""What is kept of a failure, and when its event is tried again."""

import random
import traceback
from datetime import UTC, datetime

from colonnade.observability import redact

LONGEST_PAUSE = 3600
LONGEST_OUTAGE_PAUSE = 60
TRACEBACK = 8000
"""Characters of a failure's traceback that are kept: the end, where it happened."""


def pause(attempts: int) -> float:
    """Seconds until the next try after *attempts* failed: doubling, and spread so that failures do not meet again."""
    return min(2.0**attempts, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311 - nothing to guess


def outage_pause(retry_after: float, received_at: datetime) -> float:
    """Seconds until an event asks Stripe again, which cannot be asked now: the longer it waits, the longer."""
    waited = (datetime.now(UTC) - received_at).total_seconds()
    return max(retry_after, min(waited / 4, LONGEST_OUTAGE_PAUSE)) * random.uniform(1, 1.5)  # noqa: S311 - as above


def sentence(error: BaseException) -> str:
    """What went wrong, short. PostgreSQL's further lines would show values."""
    first = str(error).partition("\n")[0]
    return redact(f"{type(error).__name__}: {first}")[:300]


def trace(error: BaseException) -> str:
    """Where it went wrong: places and sentences, without the values that PostgreSQL's further lines would show."""
    parts: list[str] = []
    while True:
        where = "".join(traceback.format_tb(error.__traceback__))
        parts.insert(0, f"{where}{sentence(error)}")
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or len(parts) == 5:
            return redact("\n\n".join(parts)).replace("\x00", "")[-TRACEBACK:]
        error = cause

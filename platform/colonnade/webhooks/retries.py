"""What is kept of a failure, and when its event is tried again."""

import random
import traceback

from colonnade.observability import redact

LONGEST_PAUSE = 3600
TRACEBACK = 8000
"""Characters of a failure's traceback that are kept: the end, where it happened."""


def pause(attempts: int) -> float:
    """Seconds until the next try after *attempts* failed: doubling, and spread so that failures do not meet again."""
    return min(2.0**attempts, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311 - nothing to guess


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

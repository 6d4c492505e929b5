"""The worker's sign of life: a file in the data folder that it touches at every round.

`python -m colonnade.heartbeat` is the container's health check: it exits 1 when the last round is too long ago.
"""

import os
import sys
import time
from pathlib import Path

from colonnade.settings import Settings

LONGEST_SILENCE = 60.0  # seconds; a round takes a batch of events and the Stripe calls that they need


def beat(data_dir: Path) -> None:
    """Say that a round of the worker's loop is done."""
    data_dir.mkdir(parents=True, exist_ok=True)
    _file(data_dir).touch()


def age(data_dir: Path) -> float | None:
    """Seconds since the last round; None if there was none."""
    try:
        return time.time() - _file(data_dir).stat().st_mtime
    except FileNotFoundError:
        return None


def _file(data_dir: Path) -> Path:
    return data_dir / "worker.heartbeat"


def main() -> int:
    """0 if the worker goes round, else 1 with a sentence on standard error."""
    seconds = age(Settings.load(os.environ).data_dir)
    if seconds is not None and seconds <= LONGEST_SILENCE:
        return 0
    sys.stderr.write("The worker has not begun.\n" if seconds is None else f"Last round {seconds:.0f} s ago.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())

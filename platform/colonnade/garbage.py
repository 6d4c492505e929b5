"""Python's garbage collector in processes that live long and make much that is short-lived."""

import gc

THRESHOLDS = (50_000, 20, 20)
"""Of allocations that were not freed; Python's own (700, 10, 10) take a tenth of a worker's time (measured)."""


def collect_rarely() -> None:
    """Call this once all is imported: that lives as long as the process, and is not looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)

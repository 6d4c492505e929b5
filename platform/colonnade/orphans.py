"""A web process ends with the one that started it, also where that one was killed.

Nothing would ever stop it otherwise. It would serve on, with old code and old secrets, and get a share of the requests
to the server that takes its place: both may listen on one port.
"""

import multiprocessing
import os
import signal
import threading
import time

_PAUSE = 0.5  # seconds between two looks


def end_with_parent(seconds: float) -> None:
    """In a child: leave as after SIGTERM once the parent is gone, *seconds* later at once. Elsewhere: nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.pid, seconds), name="parent", daemon=True).start()


def _watch(parent: int | None, seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(_PAUSE)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)

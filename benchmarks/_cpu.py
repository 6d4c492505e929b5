"""CPU time of processes and of all that they started, which the load of other work on the machine leaves as it is."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def parent(pid: int) -> int:
    """Who started the process."""
    return int(_fields(pid)[1])


def seconds(pid: int) -> float:
    """User and system time of the process, its children and theirs, those that ended too."""
    try:
        own = sum(map(int, _fields(pid)[11:15])) / _TICKS
        tasks = [task.read_text().split() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except FileNotFoundError:  # it ended just now
        return 0.0
    return own + sum(seconds(int(child)) for children in tasks for child in children)


def _fields(pid: int) -> list[str]:
    """Those of `/proc/PID/stat` from the state on, which is the third (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

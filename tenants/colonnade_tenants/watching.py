"""Where a process may watch what is done for a tenant, to time it. Nobody does unless the process traces."""

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
Work = Callable[P, Coroutine[Any, Any, R]]
Watcher = Callable[[str], AbstractContextManager[Any]]
"""The block around a step of work that has this name."""

_watcher: Watcher | None = None


def watch(watcher: Watcher | None) -> None:
    """Let *watcher* watch; None: nobody does."""
    global _watcher
    _watcher = watcher


def watched(name: str) -> Callable[[Work[P, R]], Work[P, R]]:
    """For a step of work that may be watched. While nobody does, its own coroutine is what a call gives."""

    def around(work: Work[P, R]) -> Work[P, R]:
        async def seen(watcher: Watcher, *args: P.args, **kwargs: P.kwargs) -> R:
            with watcher(name):
                return await work(*args, **kwargs)

        @wraps(work)
        def call(*args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
            return work(*args, **kwargs) if _watcher is None else seen(_watcher, *args, **kwargs)

        return call

    return around

"""A time limit for many short blocks at once."""

import asyncio
from typing import Any, cast


class TimeLimit:
    """`with limit:` ends the task's block with `TimeoutError` where it takes too long; a task has one block at a time.

    The blocks are looked after together, once a second: a timer for each would cost more than most of them take
    (measured). So one may take a second longer than *seconds*.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: dict[asyncio.Task[Any], float] = {}
        """By the event loop's clock, the oldest first."""
        self._late: set[asyncio.Task[Any]] = set()
        self._watch: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        loop = task.get_loop()
        self._began[task] = loop.time()
        if self._watch is None:
            self._watch = loop.call_later(1, self._end_late, loop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        del self._began[task]
        if task in self._late:
            self._late.discard(task)
            if task.uncancel() == 0 and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def _end_late(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - self._seconds
        for task in [each for each, began in self._began.items() if began < before and each not in self._late]:
            self._late.add(task)
            task.cancel()
        self._watch = loop.call_later(1, self._end_late, loop) if self._began else None

"""A time limit for many short blocks at once."""

import asyncio
from typing import Any


class TimeLimit:
    """`with limit.block():` ends the task's block with `TimeoutError` where it takes too long.

    The blocks are looked after together, once a second: a timer for each would cost more than most of them take
    (measured). So one may take a second longer than *seconds*.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: dict[asyncio.Task[Any], float] = {}
        """By the event loop's clock, the oldest first."""
        self._late: set[asyncio.Task[Any]] = set()
        self._watch: asyncio.TimerHandle | None = None

    def block(self) -> "Block":
        """For the current task, which may enter it many times, but one block at a time."""
        loop = asyncio.get_running_loop()
        return Block(self, asyncio.current_task(loop), loop)  # type: ignore[arg-type] # not outside a task

    def begin(self, task: asyncio.Task[Any], loop: asyncio.AbstractEventLoop) -> None:
        """From now on *task* is in a block."""
        self._began[task] = loop.time()
        if self._watch is None:
            self._watch = loop.call_later(1, self._end_late, loop)

    def end(self, task: asyncio.Task[Any]) -> bool:
        """It is no longer; whether that is because it took too long."""
        del self._began[task]
        late = task in self._late
        self._late.discard(task)
        return late

    def _end_late(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - self._seconds
        for task in [each for each, began in self._began.items() if began < before and each not in self._late]:
            self._late.add(task)
            task.cancel()
        self._watch = loop.call_later(1, self._end_late, loop) if self._began else None


class Block:
    """A task's block under a limit; made by `TimeLimit.block`."""

    __slots__ = ("_limit", "_loop", "_task")

    def __init__(self, limit: TimeLimit, task: asyncio.Task[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._limit = limit
        self._task = task
        self._loop = loop

    def __enter__(self) -> None:
        self._limit.begin(self._task, self._loop)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if self._limit.end(self._task) and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error

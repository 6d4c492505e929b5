"""The same read, wanted by several at once, is asked once.

A read is joined only while it still waits for its turn. Once it is sent, its answer may be older than what made the
next one ask, and that one is asked anew.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from copy import deepcopy
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Sent = Callable[[], None]


class _Shared(Generic[T]):
    """One read; it goes on while anyone waits for it."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.askers = 0


class Merging(Generic[T]):
    """Reads that are not sent yet, by what they ask."""

    def __init__(self) -> None:
        self._unsent: dict[Hashable, _Shared[T]] = {}

    async def ask(self, key: Hashable, read: Callable[[Sent], Coroutine[Any, Any, T]]) -> tuple[T, bool]:
        """The answer of *read*, each asker's own copy, and whether another's read was joined.

        *read* calls what it is given when it is sent.
        """
        shared = self._unsent.get(key)
        joined = shared is not None
        if shared is None:
            shared = self._begin(key, read)
        shared.askers += 1
        try:
            answer = await asyncio.shield(shared.task)
        finally:
            shared.askers -= 1
            if not shared.askers:
                self._depart(key, shared.task)
                shared.task.cancel()
        return (deepcopy(answer) if joined else answer), joined

    def _begin(self, key: Hashable, read: Callable[[Sent], Coroutine[Any, Any, T]]) -> _Shared[T]:
        task = asyncio.create_task(read(lambda: self._depart(key, task)))
        task.add_done_callback(lambda done: self._depart(key, done))
        shared = self._unsent[key] = _Shared(task)
        return shared

    def _depart(self, key: Hashable, task: asyncio.Task[T]) -> None:
        """Nobody joins any more; a later read of the same may have taken the place."""
        if key in self._unsent and self._unsent[key].task is task:
            del self._unsent[key]

"""Writes that no answer waits for: gathered for a moment, then made many at a time, in one round trip for each tenant.

What is put here may be lost where the process is killed: it must only say more of what is committed already.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any, TypeAlias, TypeVar

import asyncpg
import structlog

from colonnade.database.lost import LOST
from colonnade.tasks import end

log = structlog.get_logger()

T = TypeVar("T")
Write: TypeAlias = Callable[[asyncpg.Pool, int, Sequence[T]], Awaitable[None]]
"""Writes things of a tenant (its internal id); to do it again has to change nothing."""

GATHERING = 0.05
"""Seconds."""
PAUSES = (0.2, 0.5, 1.0)
"""Seconds before each further try, while the database is away; as long as it may take to come back."""


class Later:
    """What waits to be written to *pool*. Use in one event loop, and `close` before the pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._waiting: dict[tuple[Write[Any], int], list[Any]] = {}
        self._writing = asyncio.Lock()
        self._soon: asyncio.Task[None] | None = None

    def put(self, write: Write[T], tenant_id: int, thing: T) -> None:
        """Have *thing* written in a moment."""
        self._waiting.setdefault((write, tenant_id), []).append(thing)
        if self._soon is None or self._soon.done():
            # What is logged there is of no single request.
            self._soon = asyncio.create_task(self._gather(), context=Context())

    async def written(self) -> None:
        """Return once everything that was put is written, or given up."""
        async with self._writing:
            while self._waiting:
                waiting, self._waiting = self._waiting, {}
                for (write, tenant_id), things in waiting.items():
                    await self._write(write, tenant_id, things)

    async def close(self) -> None:
        """Write what waits."""
        await self.written()
        await end(self._soon)

    async def _gather(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHERING)
            await self.written()

    async def _write(self, write: Write[T], tenant_id: int, things: Sequence[T]) -> None:
        for pause in (*PAUSES, None):
            try:
                await write(self._pool, tenant_id, things)
            except LOST as error:
                if pause is None:
                    log.warning("not written", of=write.__qualname__, count=len(things), error=type(error).__name__)
                    return
                await asyncio.sleep(pause)
            else:
                return

"""When each key was last used, to the minute. Requests only note it in memory; one statement a minute keeps it."""

import asyncio
from typing import Any, Self

import structlog

from colonnade.database.connections import LOST, connect
from colonnade.database.roles import Duty
from colonnade.tasks import end

log = structlog.get_logger()

PAUSE = 60.0
"""Seconds between two writes."""

# Several processes write: each leaves out what another has locked, or has just written.
_WRITE = """
update api_keys set last_used_at = now() where id in (
    select id from api_keys
    where public_id = any ($1) and (last_used_at is null or last_used_at < now() - interval '50 seconds')
    order by id for update skip locked
)
"""


class KeyUses:
    """The keys that were used since the last write. Use as an asynchronous context manager."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._used: set[str] = set()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: Any) -> None:
        await end(self._running)
        await self.write()

    def note(self, key: str) -> None:
        """The key with this id (`key_…`) was used."""
        self._used.add(key)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PAUSE)
            await self.write()

    async def write(self) -> None:
        """Keep what was noted. What cannot be written is forgotten: the next use says it again."""
        used, self._used = self._used, set()
        if not used:
            return
        try:
            connection = await connect(self._url, Duty.PLATFORM)
            try:
                await connection.execute(_WRITE, sorted(used))
            finally:
                await connection.close(timeout=2)
        except LOST as error:
            log.warning("the last use of keys is not kept", error=type(error).__name__)

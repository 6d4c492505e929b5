"""What the streams of a process share: one connection that listens, and the newest notifications of the tenants that
have a stream.

A stream has no buffer of its own. It remembers how far it has come, takes what follows from the shared ones, and where
those do not reach back so far, from the database. So memory is bounded, however many streams there are and however slow
their readers.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import structlog

from colonnade.database.connections import LOST, Database, connect
from colonnade.database.roles import Duty
from colonnade.errors import Unavailable
from colonnade.tasks import end
from colonnade_tenants.notifications import stream
from colonnade_tenants.notifications.publishing import STREAM
from colonnade_tenants.notifications.stream import Item

log = structlog.get_logger()

NEWEST = 500
"""Notifications of one tenant that are kept in memory while it has a stream, at most."""
NEWEST_SIZE = 1_000_000
"""Characters of them, at most."""
STREAMS = 50
"""Of one tenant in one process."""
POLL = 1.0
"""Seconds between looks while nothing can be heard."""


class Channel:
    """One tenant's newest notifications."""

    def __init__(self) -> None:
        self.streams = 0
        self._items: deque[Item] = deque()
        self._size = 0
        self._read_to: int | None = None
        self._complete_after = 0
        self.news = asyncio.Event()
        """Set, and replaced, at the next news. Take it before looking what there is, so that nothing falls between."""

    def after(self, position: int) -> list[Item] | None:
        """What follows that place; None where only the database can tell."""
        if self._read_to is None or position < self._complete_after:
            return None
        return [item for item in self._items if item.position > position]

    async def refresh(self, database: Database, tenant_id: int) -> None:
        """Read what is new, and wake the streams. Raises what the database raises."""
        async with database.tenant_connection(tenant_id) as tenant:
            if self._read_to is None:
                self._read_to = self._complete_after = await stream.last(tenant)
            while found := await stream.after(tenant, self._read_to):
                self._add(found)
                self._read_to = found[-1].position
        news, self.news = self.news, asyncio.Event()
        news.set()

    def _add(self, items: list[Item]) -> None:
        self._items.extend(items)
        self._size += sum(len(item.payload) for item in items)
        while len(self._items) > NEWEST or self._size > NEWEST_SIZE:
            oldest = self._items.popleft()
            self._size -= len(oldest.payload)
            self._complete_after = oldest.position


class Feed:
    """The channels of a process. Use as an asynchronous context manager."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._channels: dict[int, Channel] = {}
        self._stale: set[int] = set()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._refresh())]
        return self

    async def __aexit__(self, *_: Any) -> None:
        await end(*self._tasks)

    def require_room(self, tenant_id: int) -> None:
        """Raise `Unavailable` if the tenant has too many streams already."""
        channel = self._channels.get(tenant_id)
        if channel is not None and channel.streams >= STREAMS:
            raise Unavailable(f"A tenant may have {STREAMS} streams at a time.", retry_after=30)

    @asynccontextmanager
    async def channel(self, tenant_id: int) -> AsyncIterator[Channel]:
        """The tenant's channel, shared with its other streams."""
        channel = self._channels.setdefault(tenant_id, Channel())
        channel.streams += 1
        try:
            self._mark(tenant_id)
            yield channel
        finally:
            channel.streams -= 1
            if not channel.streams:
                del self._channels[tenant_id]

    def _mark(self, *tenants: int) -> None:
        self._stale.update(tenants)
        self._wake.set()

    async def _refresh(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            stale, self._stale = self._stale, set()
            for tenant_id in stale:
                if channel := self._channels.get(tenant_id):
                    try:
                        await channel.refresh(self._database, tenant_id)
                    except LOST as error:
                        log.warning("stream not read", error=type(error).__name__)

    async def _listen(self) -> None:
        """Mark whom something is published for; without a connection, everyone, time and again."""
        while True:
            try:
                connection = await connect(self._database.url, Duty.APP)
                try:
                    ended = asyncio.Event()
                    connection.add_termination_listener(lambda _connection, ended=ended: ended.set())
                    await connection.add_listener(STREAM, lambda *heard: self._mark(int(heard[3])))
                    self._mark(*self._channels)
                    await ended.wait()
                finally:
                    await connection.close(timeout=2)
            except LOST as error:
                log.warning("not listening for streams", error=type(error).__name__)
            await asyncio.sleep(POLL)
            self._mark(*self._channels)

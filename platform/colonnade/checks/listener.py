"""The process's ear: what is kept in memory may be used as long as every change of it would have been heard.

Every `PULSE` the listening connection is asked something. PostgreSQL hands over notifications before it answers, so
once it has, every change that was committed before the question is known. Without an answer for `LIMIT`, be it that the
connection dropped, that nothing comes through it, or that this process stood still, the database is asked instead.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Self

import structlog

from colonnade.database.connections import LOST, connect
from colonnade.database.roles import Duty
from colonnade.tasks import end

log = structlog.get_logger()

PULSE = 0.2
"""Seconds between two questions."""
LIMIT = 0.9
"""Seconds that an answer from memory may be behind the database: less than the second that is promised."""
SILENCE = 3.0
"""Seconds without an answer after which the connection is made anew."""
RETRY = 0.5
"""Seconds between two tries to connect."""

# Of the platform's own account, whose events most tenants' depend on; it is no tenant's.
_PULSE = "select clock_timestamp() as at, (select complete_until from sweeps where account = '') as complete_until"


class Hearing:
    """Up to when everything has been heard. Times are in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._confirmed = float("-inf")
        self.as_of = datetime.min.replace(tzinfo=UTC)
        """The same moment by the database's clock."""
        self.complete_until: datetime | None = None
        """No event of the platform's own account is missing up to then, by Stripe's clock."""

    def confirm(self, asked: float, as_of: datetime, complete_until: datetime | None) -> None:
        """What was asked at *asked* was answered."""
        self._confirmed, self.as_of, self.complete_until = asked, as_of, complete_until

    def lose(self) -> None:
        """From now on something may go unheard."""
        self._confirmed = float("-inf")

    def current(self, now: float) -> bool:
        """Whether what is kept is at most `LIMIT` behind."""
        return now - self._confirmed < LIMIT


class Listener:
    """One connection that listens to *channels*. Use as an asynchronous context manager.

    *forget* is called where something may have gone unheard: all that was kept, or is being read, is void then.
    """

    def __init__(
        self, url: str, hearing: Hearing, channels: Mapping[str, Callable[[str], None]], forget: Callable[[], None]
    ) -> None:
        self._url = url
        self._hearing = hearing
        self._channels = channels
        self._forget = forget
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: Any) -> None:
        await end(self._running)
        self._lose()

    def _lose(self, *_: Any) -> None:
        self._hearing.lose()
        self._forget()

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except LOST as error:
                log.warning("not listening for entitlements: the database is asked", error=type(error).__name__)
            self._lose()
            await asyncio.sleep(RETRY)

    async def _listen(self) -> None:
        connection = await connect(self._url, Duty.PLATFORM)
        try:
            connection.add_termination_listener(self._lose)
            for channel, hear in self._channels.items():
                await connection.add_listener(channel, lambda *heard, hear=hear: hear(heard[3]))
            self._forget()  # what was read before: its changes were not heard
            while True:
                asked = time.monotonic()
                answer = await connection.fetchrow(_PULSE, timeout=SILENCE)
                self._hearing.confirm(asked, answer["at"], answer["complete_until"])
                await asyncio.sleep(PULSE)
        finally:
            await connection.close(timeout=2)

"""Deliveries refused for their signature: examined one after another, logged, counted, and kept for operators.

One row is kept for each endpoint and cause, with a count and the last detail. Anyone can cause failures: a list of the
last thousand would be a stranger's noise, and would make of each of his requests a row. Kept in the database, since the
memory of one web process would show what only that one saw.
"""

import asyncio
import time
from datetime import datetime
from typing import Any, Self

import asyncpg
import msgspec
import structlog
from sqlalchemy import select

from colonnade.database.connections import LOST, Database
from colonnade.database.tables import webhook_failures
from colonnade.observability import SIGNATURE_FAILURES
from colonnade.tasks import end
from colonnade.webhooks.forensics import Cause, Diagnosis, Keyring, Refused, diagnose

log = structlog.get_logger()

QUEUE = 16
"""Refused deliveries that wait; of more, only the number is counted."""
REST = 9
"""Rests after a diagnosis, in times of its length: at most a tenth of one core goes into strangers' requests."""

_NOTE = """
insert into webhook_failures (endpoint, cause, detail, count) values ($1, $2, $3, 1)
on conflict (endpoint, cause) do update
set detail = excluded.detail, count = webhook_failures.count + 1, last_at = now()
"""


class FailureView(msgspec.Struct):
    """The failed checks of one cause; *detail* is the last one's."""

    endpoint: str
    cause: str
    detail: str
    count: int
    first_at: datetime
    last_at: datetime


class Refusals:
    """Examines refused deliveries beside the requests of a process. Use as an asynchronous context manager."""

    def __init__(self, keyring: Keyring, pool: asyncpg.Pool) -> None:
        self._keyring = keyring
        self._pool = pool
        self._queue: asyncio.Queue[Refused] = asyncio.Queue(QUEUE)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._examine(), name="signature forensics")
        return self

    async def __aexit__(self, *_: Any) -> None:
        await end(self._task)

    def note(self, refused: Refused) -> None:
        """Have *refused* examined soon; where too many wait, only count it."""
        try:
            self._queue.put_nowait(refused)
        except asyncio.QueueFull:
            SIGNATURE_FAILURES.labels(refused.endpoint, Cause.NOT_EXAMINED).inc()

    async def _examine(self) -> None:
        while True:
            refused = await self._queue.get()
            began = time.monotonic()
            try:
                await self._report(refused.endpoint, await asyncio.to_thread(diagnose, refused, self._keyring))
            except Exception as error:  # whatever a stranger sent, the next one is examined
                log.error("signature failure not examined", error=type(error).__name__)
            await asyncio.sleep(REST * (time.monotonic() - began))

    async def _report(self, endpoint: str, found: Diagnosis) -> None:
        log.warning("signature refused", endpoint=endpoint, cause=str(found.cause), detail=found.detail)
        SIGNATURE_FAILURES.labels(endpoint, found.cause).inc()
        try:
            async with asyncio.timeout(5):
                await self._pool.execute(_NOTE, endpoint, str(found.cause), found.detail)
        except LOST as error:
            log.warning("signature failure not kept", error=type(error).__name__)


async def recent(database: Database) -> list[FailureView]:
    """Each cause of each endpoint, the latest first."""
    columns = (webhook_failures.c[name] for name in FailureView.__struct_fields__)
    async with database.platform() as connection:
        rows = await connection.execute(select(*columns).order_by(webhook_failures.c.last_at.desc()))
    return [FailureView(**row) for row in rows.mappings()]

"""The worker's part that tells tenants: publishes what was recorded, and sends what is due, many at a time.

Nobody's server can hold up another tenant's deliveries: an endpoint has few at a time, a tenant no more than its share,
and those known to be slow together no more than half of all places.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

import asyncpg
import structlog

from colonnade.cipher import SecretUnreadable
from colonnade.database.connections import LOST, connect, create_pool
from colonnade.database.roles import Duty
from colonnade.notifications import turns
from colonnade.notifications.publishing import publish_waiting
from colonnade.notifications.secrets import Vault, active
from colonnade.notifications.sender import TIMEOUT, Sender
from colonnade.notifications.turns import Due, Job
from colonnade.observability import NOTIFICATION_SECONDS, NOTIFIED
from colonnade.tracing.switch import current
from colonnade_tenants.notifications import CHANNEL
from colonnade_tenants.notifications.queue import Attempt

log = structlog.get_logger()

PLACES = 200
"""Requests at a time."""
PER_TENANT = 20
PER_ENDPOINT = 4
SLOW = 2.0
"""Seconds after which an endpoint counts as slow, until it answers faster."""
POLL = 1.0
"""Seconds between looks when no notification comes."""
GRACE = TIMEOUT + 5
"""Seconds that requests under way have to end when the worker stops."""


class Notifier:
    """Publishes and delivers. Any number may run at once, in as many processes."""

    def __init__(self, database_url: str, vault: Vault, sender: Sender) -> None:
        self._url = database_url
        self._vault = vault
        self._sender, self._send = sender, current().sending(sender.attempt)
        self._wake = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], Due] = {}
        self._slow: set[int] = set()

    async def run(self) -> None:
        """Work until cancelled; requests under way then still end."""
        async with self._sender, await create_pool(self._url, Duty.WORKER, size=4) as pool:
            listener = asyncio.create_task(self._listen())
            try:
                while True:
                    await self._round(pool)
            finally:
                listener.cancel()
                await self._finish()

    async def _round(self, pool: asyncpg.Pool) -> None:
        self._wake.clear()
        busy = False
        try:
            busy = await publish_waiting(pool) > 0
            busy = await self._send_due(pool) > 0 or busy
        except LOST as error:
            log.warning("notifications wait", error=type(error).__name__)
        except Exception as error:
            log.error("notifications wait", exc_info=error)
        if not busy:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._wake.wait()

    async def _send_due(self, pool: asyncpg.Pool) -> int:
        """Begin to send what is due, as far as there are places; how many that is."""
        by_endpoint = Counter(each.id for each in self._under_way.values())
        by_tenant = Counter(each.tenant_id for each in self._under_way.values())
        full = [endpoint for endpoint, count in by_endpoint.items() if count >= PER_ENDPOINT]
        full_of = [tenant for tenant, count in by_tenant.items() if count >= PER_TENANT]
        slow = sum(by_endpoint[endpoint] for endpoint in self._slow)
        begun = 0
        for endpoint in await turns.due(pool, but=full, but_of=full_of):
            room = min(
                PLACES - len(self._under_way),
                PER_TENANT - by_tenant[endpoint.tenant_id],
                (1 if endpoint.failures or endpoint.id in self._slow else PER_ENDPOINT) - by_endpoint[endpoint.id],
                PLACES // 2 - slow if endpoint.id in self._slow else PLACES,
            )
            for job in await turns.claim(pool, endpoint, room) if room > 0 else ():
                self._begin(pool, job)
                by_tenant[endpoint.tenant_id] += 1
                slow += endpoint.id in self._slow
                begun += 1
        return begun

    def _begin(self, pool: asyncpg.Pool, job: Job) -> None:
        task = asyncio.create_task(self._deliver(pool, job))
        self._under_way[task] = job.endpoint
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            # It stays claimed, and is sent again when the claim runs out.
            log.error("delivery not noted", exc_info=error)

    async def _deliver(self, pool: asyncpg.Pool, job: Job) -> None:
        attempt = await self._attempt(job)
        seconds = attempt.milliseconds / 1000
        (self._slow.add if seconds > SLOW else self._slow.discard)(job.endpoint.id)
        NOTIFIED.labels("delivered" if attempt.error is None else "failed").inc()
        NOTIFICATION_SECONDS.observe(seconds)
        await turns.settle(pool, job, attempt)

    async def _attempt(self, job: Job) -> Attempt:
        now = datetime.now(UTC)
        try:
            secrets = self._vault.open_any(active(job.secrets, now))
        except SecretUnreadable as error:
            log.error("secret unreadable", endpoint=job.endpoint.id)
            return Attempt(now, 0, error=str(error))
        return await self._send(job.url, secrets, job.delivery)

    async def _finish(self) -> None:
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=GRACE)
        for task in list(self._under_way):
            task.cancel()

    async def _listen(self) -> None:
        """Wake the rounds when something was recorded; polling covers the time without a connection."""
        while True:
            try:
                connection = await connect(self._url, Duty.WORKER)
                try:
                    ended = asyncio.Event()
                    connection.add_termination_listener(lambda _connection, ended=ended: ended.set())
                    await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
                    await ended.wait()
                finally:
                    await connection.close(timeout=2)
            except LOST as error:
                log.warning("not listening for notifications", error=type(error).__name__)
            await asyncio.sleep(POLL)

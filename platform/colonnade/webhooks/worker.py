"""The worker process: takes events from the inbox until it is told to stop."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import asyncpg
import structlog

from colonnade.accounts.keeping import keep_periodically as lifecycle_periodically
from colonnade.accounts.telling import tell_periodically
from colonnade.catalogue.recomputations import recompute_periodically
from colonnade.database.connections import LOST, connect, create_pool, verify
from colonnade.database.roles import Duty
from colonnade.entitlements.clocks import note_periodically
from colonnade.garbage import collect_rarely
from colonnade.heartbeat import beat
from colonnade.imports.running import import_periodically
from colonnade.notifications.delivering import Notifier
from colonnade.notifications.secrets import Vault
from colonnade.notifications.sender import Sender
from colonnade.observability import metrics_server
from colonnade.portals.branding.pushing import push_periodically as branding_periodically
from colonnade.portals.keeping import keep_periodically
from colonnade.portals.retention import VISITS
from colonnade.pruning import prune_periodically
from colonnade.settings import Settings, ensure_secret_key
from colonnade.stripe_api.client import StripeGateway
from colonnade.tasks import end
from colonnade.tracing.switch import start
from colonnade.webhooks.dispatch import BATCH, Dispatcher
from colonnade.webhooks.extensions import Extension, Extensions, installed
from colonnade.webhooks.retention import EVENTS
from colonnade.webhooks.sweeping import sweep_periodically
from colonnade.webhooks.writer import CHANNEL
from colonnade_tenants.handlers import HANDLERS, Handler

log = structlog.get_logger()

POLL = 1.0
"""Seconds between looks at the inbox when no notification comes."""
FULL = BATCH // 2
"""Events in a batch that tell of a backlog."""


class Worker:
    """Processes the inbox in *concurrency* tasks. Any number of workers may run at once."""

    def __init__(
        self,
        database_url: str,
        gateway: StripeGateway,
        *,
        data_dir: Path,
        concurrency: int = 2,
        handlers: Mapping[str, Handler] = HANDLERS,
        extensions: Sequence[Extension] = (),
    ) -> None:
        self._url = database_url
        self._data_dir = data_dir
        self._concurrency = concurrency
        self._extensions = Extensions(gateway, extensions)
        self._dispatcher = Dispatcher(gateway, handlers, self._extensions)
        self._wake = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Work until `stop`. Raises `UnsafeLogin`, and what connecting raises; later the database may come and go."""
        await verify(self._url)
        async with await create_pool(self._url, Duty.WORKER, size=self._concurrency) as pool:
            log.info("worker started", tasks=self._concurrency)
            listener = asyncio.create_task(self._listen())
            await asyncio.gather(*(self._work(pool) for _ in range(self._concurrency)))
            await end(listener)
        log.info("worker stopped")

    def stop(self) -> None:
        """Finish the batches in hand, then let `run` return."""
        self._stopping = True
        self._wake.set()

    async def _work(self, pool: asyncpg.Pool) -> None:
        while not self._stopping:
            self._wake.clear()
            found = 0
            try:
                found = await self._dispatcher.batch(pool)
                found += await self._extensions.retry(pool)
            except LOST as error:
                log.warning("batch given up", error=type(error).__name__, reason=str(error).partition("\n")[0])
            except Exception as error:
                log.error("batch failed", exc_info=error)
            beat(self._data_dir)
            if found >= FULL:
                self._wake.set()  # tasks that found nothing, since the others had it
            if not found:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._wake.wait()

    async def _listen(self) -> None:
        """Wake the tasks when events were stored; polling covers the time without a connection."""
        while True:
            try:
                await self._hear()
            except LOST as error:
                log.warning("not listening", error=type(error).__name__)
            except Exception as error:
                log.error("not listening", exc_info=error)
            await asyncio.sleep(POLL)

    async def _hear(self) -> None:
        connection = await connect(self._url, Duty.WORKER)
        try:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _connection: ended.set())
            await connection.add_listener(CHANNEL, lambda *_: self._wake.set())
            await ended.wait()
        finally:
            await connection.close(timeout=2)


async def work(settings: Settings, database_url: str, concurrency: int) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises `UnsafeLogin`, `ExtensionBroken`, and what connecting raises."""
    collect_rarely()
    tracing = start("worker")
    gateway = StripeGateway(settings, "worker")
    worker = Worker(database_url, gateway, data_dir=settings.data_dir, concurrency=concurrency, extensions=installed())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.stop)
    vault, sender = Vault(ensure_secret_key(settings)), Sender(loopback=settings.notification_loopback)
    beside = [
        prune_periodically(database_url, EVENTS, settings.event_retention_days),
        prune_periodically(database_url, VISITS, settings.portal_visit_retention_days),
        Notifier(database_url, vault, sender).run(),
        recompute_periodically(database_url),
        note_periodically(database_url),
        import_periodically(settings, database_url, gateway),
        keep_periodically(settings, database_url, gateway),
        branding_periodically(database_url, gateway),
        lifecycle_periodically(database_url),
        tell_periodically(settings, database_url),
    ]
    if settings.sweep_seconds:
        beside.append(sweep_periodically(settings, database_url, gateway))
    async with await create_pool(database_url, Duty.WORKER, size=2) as pool:
        gateway.use(pool)
        tasks = [asyncio.create_task(each) for each in beside]
        try:
            with metrics_server(settings.host, settings.worker_metrics_port):
                await worker.run()
        finally:
            await end(*tasks)
            await gateway.close()
            await asyncio.to_thread(tracing.stop)

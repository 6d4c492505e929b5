"""Webhook deliveries: signed over the exact bytes, retried, never in a guaranteed order."""

import asyncio
import heapq
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any

import aiohttp

from colonnade_sandbox import owing, payloads, targets, thin
from colonnade_sandbox.store import Object

if TYPE_CHECKING:
    from colonnade_sandbox.sandbox import Sandbox

# Seconds between tries, scaled by a setting: in test mode three times over a few hours, in live mode up to three
# days with exponential backoff (Stripe docs, "Webhooks"; the single delays are not published).
SCHEDULES: dict[str, tuple[float, ...]] = {
    "test": (600.0, 3600.0, 10800.0),
    "live": (*(300.0 * 2**n for n in range(9)), 86400.0),
}
# The answer must come within this many seconds.
TIMEOUT = 10.0
LOGGED_ATTEMPTS = 1000
AT_ONCE_PER_ENDPOINT = 8


class Deliveries:
    """Sends what is owed when it is due. Times here are wall time: a shifted clock must not break signatures."""

    def __init__(
        self, sandbox: "Sandbox", retry_scale: float, *, schedule: str = "test", timeout: float = TIMEOUT
    ) -> None:
        self._sandbox = sandbox
        self._delays = [delay * retry_scale for delay in SCHEDULES[schedule]]
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        # The newest tries and what came of them, for tests.
        self.attempts: deque[dict[str, Any]] = deque(maxlen=LOGGED_ATTEMPTS)
        self.planned: list[tuple[str, str]] = []
        self._queue: list[tuple[float, int, str, str]] = []
        self._count = 0
        self._woken = asyncio.Event()
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None
        for owner, delivery in sandbox.store.everywhere(owing.KIND):
            self._enqueue(owner, delivery["id"], delivery["due"])

    def wake(self) -> None:
        """Called when a transaction is over: what it planned may go out."""
        if self.planned:
            for owner, key in self.planned:
                self._enqueue(owner, key, 0.0)
            self.planned.clear()

    def _enqueue(self, owner: str, key: str, due: float) -> None:
        self._count += 1
        heapq.heappush(self._queue, (due, self._count, owner, key))
        self._woken.set()

    async def run(self) -> None:
        self._http = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        while True:
            self._woken.clear()
            now = time.time()
            while self._queue and self._queue[0][0] <= now:
                _, _, owner, key = heapq.heappop(self._queue)
                self._start(owner, key)
            wait = self._queue[0][0] - now if self._queue else None
            try:
                async with asyncio.timeout(wait):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _start(self, owner: str, key: str) -> None:
        if self._sandbox.store.find(owner, owing.KIND, key) is None:
            return
        disturbance = self._sandbox.faults.of_delivery()
        if not disturbance.copies:
            self._forget(owner, key)
        for _ in range(disturbance.copies):
            self._spawn(owner, key, disturbance.wait)

    def _spawn(self, owner: str, key: str, wait: float) -> None:
        task = asyncio.create_task(self._deliver(owner, key, wait))
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            traceback.print_exception(problem)

    async def _deliver(self, owner: str, key: str, wait: float) -> None:
        if wait:
            await asyncio.sleep(wait)
        delivery = self._sandbox.store.find(owner, owing.KIND, key)
        if delivery is None:
            return
        target = targets.find(self._sandbox.store, owner, delivery["endpoint"])
        event = self._event(delivery)
        if target is None or event is None or not target.enabled:
            self._forget(owner, key)
            return
        slot = self._slots.setdefault(target.id, asyncio.Semaphore(AT_ONCE_PER_ENDPOINT))
        async with slot:
            status = await self._post(target, event)
        self._note(target, event, delivery, status)
        self._settle(owner, key, accepted=status is not None and 200 <= status < 300)

    def _event(self, delivery: Object) -> Object | None:
        if delivery["kind"] == "event":
            return self._sandbox.store.find(delivery["account"], "event", delivery["event"])
        found = thin.find(self._sandbox.store, delivery["account"], delivery["event"])
        return thin.notification(found) if found is not None else None

    async def _post(self, target: targets.Target, event: Object) -> int | None:
        """The status of the answer; None where there was none in time."""
        if self._http is None:
            return None
        if event["object"] == "event" and target.api_version:
            event = event | {"api_version": target.api_version}
        body = payloads.encode(event)
        secrets = target.signed_with(self._sandbox.clock.now())
        headers = payloads.headers(body, secrets, self._sandbox.faults.wanted.skew)
        try:
            async with self._http.post(target.url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None

    def _note(self, target: targets.Target, event: Object, delivery: Object, status: int | None) -> None:
        attempt = {
            "at": time.time(),
            "target": target.id,
            "url": target.url,
            "account": delivery["account"],
            "event": event["id"],
            "type": event["type"],
            "attempt": delivery["attempts"] + 1,
            "status": status,
        }
        self.attempts.append(attempt)

    def _settle(self, owner: str, key: str, *, accepted: bool) -> None:
        """Delivered, to be tried again, or given up."""
        delivery = self._sandbox.store.find(owner, owing.KIND, key)
        if delivery is None:
            return
        attempts = delivery["attempts"] + 1
        if accepted or attempts > len(self._delays):
            self._forget(owner, key, delivered=accepted)
            return
        due = time.time() + self._delays[attempts - 1]
        with self._sandbox.store.transaction():
            self._sandbox.store.put(owner, owing.KIND, key, delivery | {"attempts": attempts, "due": due})
        self._enqueue(owner, key, due)

    def _forget(self, owner: str, key: str, *, delivered: bool = False) -> None:
        store = self._sandbox.store
        delivery = store.find(owner, owing.KIND, key)
        if delivery is None:
            return
        with store.transaction():
            store.delete(owner, owing.KIND, key)
            event = store.find(delivery["account"], "event", delivery["event"])
            # A thin event is counted nowhere: its id finds no snapshot event.
            if delivered and event is not None and event["pending_webhooks"] > 0:
                left = event["pending_webhooks"] - 1
                store.put(delivery["account"], "event", event["id"], event | {"pending_webhooks": left})

    def waiting(self) -> list[dict[str, Any]]:
        """What is still owed, with the attempts made so far."""
        return [delivery for _, delivery in self._sandbox.store.everywhere(owing.KIND)]

    async def close(self) -> None:
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

"""Webhook deliveries: signed over the exact bytes, retried, never in a guaranteed order."""

import asyncio
import hashlib
import heapq
import hmac
import time
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec

from colonnade_sandbox import ids
from colonnade_sandbox.expansion import public
from colonnade_sandbox.store import Object

if TYPE_CHECKING:
    from colonnade_sandbox.sandbox import Sandbox

# Stripe retries a test event three times over a few hours (Stripe docs, "Webhooks"); a setting scales this.
RETRY_DELAYS = (600.0, 3600.0, 10800.0)
# The answer must come within this many seconds.
TIMEOUT = 10.0
AT_ONCE_PER_ENDPOINT = 8
KIND = "_delivery"


def endpoints_for(sandbox: "Sandbox", account: str, type: str) -> Iterator[tuple[str, Object]]:  # noqa: A002
    """Enabled endpoints that want an event of `account`, each with the account that owns it.

    An account's own endpoints, and the Connect endpoints of the platforms it is connected to.
    """
    owners = [(account, False), *((platform, True) for platform in sandbox.platforms_of(account))]
    for owner, connect in owners:
        for endpoint in sandbox.store.all(owner, "webhook_endpoint"):
            chosen = endpoint["enabled_events"]
            if endpoint["_connect"] is connect and endpoint["status"] == "enabled" and {"*", type} & set(chosen):
                yield owner, endpoint


def add(sandbox: "Sandbox", owner: str, endpoint: Object, account: str, event: Object) -> None:
    """Owe `endpoint` an event; kept with the objects, so that a killed sandbox still delivers."""
    delivery = {
        "id": ids.new("whd"),
        "object": KIND,
        "endpoint": endpoint["id"],
        "account": account,
        "event": event["id"],
        "attempts": 0,
        "due": time.time(),
    }
    sandbox.store.put(owner, KIND, delivery["id"], delivery)
    sandbox.deliveries.planned.append((owner, delivery["id"]))


def signature(body: bytes, secrets: list[str], at: int) -> str:
    """The `Stripe-Signature` header: one `v1` for each accepted secret."""
    signed = f"{at}.".encode() + body
    digests = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={at}", *(f"v1={digest}" for digest in digests)])


class Deliveries:
    """Sends what is owed when it is due. Times here are wall time: a shifted clock must not break signatures."""

    def __init__(self, sandbox: "Sandbox", retry_scale: float) -> None:
        self._sandbox = sandbox
        self._scale = retry_scale
        self.planned: list[tuple[str, str]] = []
        self._queue: list[tuple[float, int, str, str]] = []
        self._count = 0
        self._woken = asyncio.Event()
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None
        for owner, delivery in sandbox.store.everywhere(KIND):
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
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        self._http = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        while True:
            self._woken.clear()
            now = time.time()
            while self._queue and self._queue[0][0] <= now:
                _, _, owner, key = heapq.heappop(self._queue)
                self._start(owner, key)
            wait = self._queue[0][0] - now if self._queue else None
            try:
                await asyncio.wait_for(self._woken.wait(), wait)
            except TimeoutError:
                continue

    def _start(self, owner: str, key: str) -> None:
        if self._sandbox.store.find(owner, KIND, key) is None:
            return
        fault = self._sandbox.faults.of_delivery()
        if fault is not None and fault.action == "drop":
            self._forget(owner, key)
            return
        if fault is not None and fault.action == "duplicate":
            self._spawn(owner, key, 0.0)
        self._spawn(owner, key, fault.wait() if fault is not None else 0.0)

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
        delivery = self._sandbox.store.find(owner, KIND, key)
        if delivery is None:
            return
        endpoint = self._sandbox.store.find(owner, "webhook_endpoint", delivery["endpoint"])
        event = self._sandbox.store.find(delivery["account"], "event", delivery["event"])
        if endpoint is None or event is None or endpoint["status"] != "enabled":
            self._forget(owner, key)
            return
        slot = self._slots.setdefault(endpoint["id"], asyncio.Semaphore(AT_ONCE_PER_ENDPOINT))
        async with slot:
            accepted = await self._post(endpoint, event)
        self._settle(owner, key, accepted=accepted)

    async def _post(self, endpoint: Object, event: Object) -> bool:
        body = msgspec.json.format(msgspec.json.encode(public(event)), indent=2)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(body, endpoint["_secrets"], int(time.time())),
        }
        if self._http is None:
            return False
        try:
            async with self._http.post(endpoint["url"], data=body, headers=headers, allow_redirects=False) as answer:
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return False

    def _settle(self, owner: str, key: str, *, accepted: bool) -> None:
        """Delivered, to be tried again, or given up."""
        delivery = self._sandbox.store.find(owner, KIND, key)
        if delivery is None:
            return
        attempts = delivery["attempts"] + 1
        if accepted or attempts > len(RETRY_DELAYS):
            self._forget(owner, key, delivered=accepted)
            return
        due = time.time() + RETRY_DELAYS[attempts - 1] * self._scale
        with self._sandbox.store.transaction():
            self._sandbox.store.put(owner, KIND, key, delivery | {"attempts": attempts, "due": due})
        self._enqueue(owner, key, due)

    def _forget(self, owner: str, key: str, *, delivered: bool = False) -> None:
        store = self._sandbox.store
        delivery = store.find(owner, KIND, key)
        if delivery is None:
            return
        with store.transaction():
            store.delete(owner, KIND, key)
            event = store.find(delivery["account"], "event", delivery["event"])
            if delivered and event is not None and event["pending_webhooks"] > 0:
                left = event["pending_webhooks"] - 1
                store.put(delivery["account"], "event", event["id"], event | {"pending_webhooks": left})

    def waiting(self) -> list[dict[str, Any]]:
        """What is still owed, with the attempts made so far."""
        return [delivery for _, delivery in self._sandbox.store.everywhere(KIND)]

    async def close(self) -> None:
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

"""The sandbox as a whole: its objects, its time, and what it owes its callers."""

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from colonnade_sandbox import due, ids, keys
from colonnade_sandbox.call import Call
from colonnade_sandbox.clock import Clock
from colonnade_sandbox.deliveries import TIMEOUT, Deliveries
from colonnade_sandbox.faults import Faults
from colonnade_sandbox.listeners import Listeners
from colonnade_sandbox.resources import accounts
from colonnade_sandbox.store import NOWHERE, Store

LOGGED_REQUESTS = 1000
Result = TypeVar("Result")


class Sandbox:
    """State of one running sandbox. Everything in it runs on one event loop, one operation at a time."""

    def __init__(
        self,
        file: Path | None = None,
        *,
        retry_scale: float = 0.005,
        retries: str = "test",
        delivery_timeout: float = TIMEOUT,
        check_replies: bool = False,
        record: Path | None = None,
    ) -> None:
        self.store = Store(file)
        saved = self.store.find(NOWHERE, "_setting", "clock") or {}
        self.clock = Clock(saved.get("shift", 0))
        self.faults = Faults()
        self.deliveries = Deliveries(self, retry_scale, schedule=retries, timeout=delivery_timeout)
        self.listeners = Listeners(self)
        self.log: deque[dict[str, Any]] = deque(maxlen=LOGGED_REQUESTS)
        self.base_url = ""
        # Set by `--check-replies`: an answer that differs from the SDK's class is a 500.
        self.check_replies = check_replies
        # Set by `--record-replies`: where every reply of the API is kept, for checks against another schema.
        self.record = record
        self.work_waits = asyncio.Event()
        # Set when a test clock was told to move.
        self.clock_moves = asyncio.Event()

    def run(self, operation: Callable[[Call], Result], call: Call) -> Result:
        """Runs one operation as a unit: all it wrote and the events it caused, or nothing."""
        try:
            with self.store.transaction():
                return operation(call)
        finally:
            self.deliveries.wake()
            self.work_waits.set()

    def platforms_of(self, account: str) -> list[str]:
        """The platforms that `account` is connected to; none for a platform's own account."""
        found = self.store.find(account, "account", account)
        return list(found["_platforms"]) if found else []

    def platform(self, key: str) -> str:
        """The account that a test key belongs to; of a key not made here the text after `_test_` decides."""
        if (held := keys.find(self.store, key)) is not None:
            return str(held["account"])
        account = ids.derived("acct", key.partition("_test_")[2])
        if self.store.find(account, "account", account) is None:
            self.run(accounts.create_own, Call(self, account, account))
        return account

    def shift(self, seconds: int) -> None:
        """Move the sandbox's time; work that falls due is done before this returns, in order."""
        with self.store.transaction():
            self.clock.shift += seconds
            self.store.put(NOWHERE, "_setting", "clock", {"shift": self.clock.shift})
        due.work_off(self)

    async def start(self) -> None:
        loops = (self.deliveries.run(), due.run(self), due.run_clocks(self))
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.deliveries.close()
        self.store.close()

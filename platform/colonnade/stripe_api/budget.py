"""The one gate before Stripe: a call waits here until it may be sent, for a limited time."""

import asyncio
import math
from collections.abc import Mapping

from colonnade.errors import StripeUnavailable
from colonnade.observability import STRIPE_WAIT_SECONDS, STRIPE_WAITING
from colonnade.stripe_api.bucket import Bucket
from colonnade.stripe_api.calls import Call, Priority
from colonnade.stripe_api.limits import Key, Limits
from colonnade.stripe_api.turns import Lane, Ticket, Turns

WAIT: Mapping[Priority, float] = {
    Priority.PORTAL: 5,
    Priority.REQUEST: 10,
    Priority.EVENT: 5,  # its transaction holds locks
    Priority.SWEEP: 60,
}
"""Seconds that a call waits for its turn, at most."""
LINE = 1000
"""Calls of one tenant and priority that wait, at most: memory, not fairness, is what this bounds."""
KEPT = 5000
"""Buckets kept, about; those that are full can be made anew. Accounts and endpoints come and go."""


class Budget:
    """Calls go in the order of `Turns`, as fast as their buckets fill. One serves a process, in one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._buckets: dict[Key, Bucket] = {}
        self._sweep_at = KEPT
        self._turns = Turns()
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, call: Call) -> None:
        """Return when *call* may be sent, its tokens taken. Raises `StripeUnavailable` after `WAIT`, or if too many
        wait already. A call that is cancelled meanwhile takes nothing."""
        if self._turns.line(call.priority, call.tenant) >= LINE:
            raise self._too_many(call)
        lane, began = self._lane(call), self._loop.time()
        if not self._turns and all(bucket.ready(began) for bucket in lane):
            for bucket in lane:
                bucket.take()
        else:
            await self._queue(call, lane)
        STRIPE_WAIT_SECONDS.observe(call.priority.label, self._loop.time() - began)

    def refused(self, call: Call, reason: str, pause: float) -> None:
        """Stripe refused *call* for its rate; *reason* is `Stripe-Rate-Limited-Reason`. *pause* in seconds."""
        account, endpoint = self._lane(call)
        (account if reason.startswith("global") else endpoint).slow_down(self._loop.time(), pause)

    async def _queue(self, call: Call, lane: Lane) -> None:
        ticket = Ticket(lane, call.priority, call.tenant)
        granted: asyncio.Future[None] = self._loop.create_future()
        self._turns.join(ticket)
        self._waiting[ticket] = granted
        self._go()
        if not granted.done():
            await self._wait(call, ticket, granted)

    async def _wait(self, call: Call, ticket: Ticket, granted: asyncio.Future[None]) -> None:
        waiting = STRIPE_WAITING.labels(call.priority.label)
        waiting.inc()
        try:
            async with asyncio.timeout(WAIT[call.priority]):
                await granted
        except BaseException as error:
            self._take_back(ticket)
            if isinstance(error, TimeoutError):
                raise self._too_many(call) from None
            raise
        finally:
            waiting.dec()

    def _take_back(self, ticket: Ticket) -> None:
        if self._waiting.pop(ticket, None) is not None:
            self._turns.leave(ticket)
            return
        for bucket in ticket.lane:  # its turn came in the same moment
            bucket.give_back()
        self._go()

    def _go(self) -> None:
        """Let those go who may, and come again when the next may."""
        now = self._loop.time()
        while (ticket := self._turns.next(now)) is not None:
            granted = self._waiting.pop(ticket)
            if not granted.done():  # else it was cancelled just now, and gives its tokens back when it runs next
                granted.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (at := self._turns.wake(now)) is not None:
            self._timer = self._loop.call_at(at, self._go)

    def _lane(self, call: Call) -> Lane:
        now = self._loop.time()
        if len(self._buckets) >= self._sweep_at:
            self._forget(now)
        lane = []
        for key, limit in self._limits.of(call).items():
            if (bucket := self._buckets.get(key)) is None:
                bucket = self._buckets[key] = Bucket(limit, now)
            lane.append(bucket)
        return tuple(lane)

    def _forget(self, now: float) -> None:
        kept = {key: each for key, each in self._buckets.items() if not each.full_up(now) or each in self._turns}
        self._buckets = kept
        self._sweep_at = max(KEPT, 2 * len(kept))

    def _too_many(self, call: Call) -> StripeUnavailable:
        now = self._loop.time()
        slowest = min(bucket.rate(now) for bucket in self._lane(call))
        seconds = math.ceil(self._turns.line(call.priority, call.tenant) / slowest)
        return StripeUnavailable("Too many calls wait for Stripe; try again.", min(60, max(1, seconds)))

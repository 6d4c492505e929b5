"""Work that falls due as time passes: renewals, invoices, ends of trials, phases of schedules.

Everything runs by its own clock: what belongs to a test clock when that one moves, all else by the sandbox's.
"""

import asyncio
import heapq
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from colonnade_sandbox import billing_settings, housekeeping
from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import (
    account_standing,
    checkout_sessions,
    invoice_work,
    portal_pauses,
    renewals,
    schedule_work,
    tax_ids,
    test_clocks,
)
from colonnade_sandbox.store import Object

if TYPE_CHECKING:
    from colonnade_sandbox.sandbox import Sandbox

# How long the loop sleeps when nothing is due sooner, and how short it may sleep; seconds.
LONGEST_SLEEP = 60.0
SHORTEST_SLEEP = 0.5


@dataclass(frozen=True, slots=True)
class Work:
    """When an object's next work falls due, and the work."""

    due_at: Callable[[Object], int | None]
    do: Callable[[Call, Object], object]


# In the order in which work of the same second is done: a phase decides what the renewal bills.
WORK: dict[str, Work] = {
    "subscription_schedule": Work(schedule_work.due_at, schedule_work.work),
    "subscription": Work(renewals.due_at, renewals.work),
    "invoice": Work(invoice_work.due_at, invoice_work.work),
    portal_pauses.KIND: Work(portal_pauses.due_at, portal_pauses.work),
    "checkout.session": Work(checkout_sessions.due_at, checkout_sessions.work),
    "account": Work(account_standing.due_at, account_standing.work),
    "tax_id": Work(tax_ids.due_at, tax_ids.check),
    test_clocks.KIND: Work(test_clocks.due_at, test_clocks.expire),
}
RANKS = {kind: rank for rank, kind in enumerate(WORK)}


class Agenda:
    """The due work of one clock, in order; `clock` is None for everything that is on no test clock."""

    def __init__(self, sandbox: "Sandbox", clock: str | None = None) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._queue: list[tuple[int, int, str, str, str]] = []
        for kind in WORK:
            for account, value in sandbox.store.everywhere(kind):
                self._plan(account, kind, value)

    def _plan(self, account: str, kind: str, value: Object | None) -> None:
        if value is None or value.get("test_clock") != self._clock:
            return
        if (moment := WORK[kind].due_at(value)) is not None:
            heapq.heappush(self._queue, (moment, RANKS[kind], account, kind, value["id"]))

    @property
    def following(self) -> int | None:
        """When the next work falls due."""
        return self._queue[0][0] if self._queue else None

    def step(self) -> None:
        """Do the first work, at the second when it fell due."""
        store = self._sandbox.store
        moment, _, account, kind, key = heapq.heappop(self._queue)
        value = store.find(account, kind, key)
        if value is None or WORK[kind].due_at(value) != moment:
            return
        call = Call(self._sandbox, account, account)
        if self._clock is not None:
            call.moment = moment
            self._sandbox.run(lambda call: WORK[kind].do(call, value), call)
        else:
            with self._sandbox.clock.at(moment):
                self._sandbox.run(lambda call: WORK[kind].do(call, value), call)
        for written in store.written():
            if written[1] in WORK:
                self._plan(written[0], written[1], store.find(*written))


def work_off(sandbox: "Sandbox") -> int | None:
    """Do all work that is due, in the order in which it fell due; answers when the next falls due."""
    agenda, now = Agenda(sandbox), sandbox.clock.now()
    while (moment := agenda.following) is not None and moment <= now:
        try:
            agenda.step()
        except Exception:  # one object's failure must not end the time of all others
            traceback.print_exc()
    return agenda.following


async def move(sandbox: "Sandbox", account: str, clock: Object) -> None:
    """Take a test clock to its target, one work after another; deliveries go out in between."""
    agenda, failed = Agenda(sandbox, clock["id"]), False
    target = clock["status_details"]["advancing"]["target_frozen_time"]
    pace = billing_settings.of(sandbox.store, account).advance_pace
    try:
        while (moment := agenda.following) is not None and moment <= target:
            agenda.step()
            await asyncio.sleep(pace)
    except Exception:  # the clock says so, as Stripe's does
        traceback.print_exc()
        failed = True
    sandbox.run(partial(test_clocks.arrive, clock=clock, failed=failed), Call(sandbox, account, account))


async def run_clocks(sandbox: "Sandbox") -> None:
    """Moves the test clocks that are to move; one that a killed sandbox left on its way goes on."""
    while True:
        sandbox.clock_moves.clear()
        for account, clock in list(sandbox.store.everywhere(test_clocks.KIND)):
            if clock["status"] == "advancing":
                await move(sandbox, account, clock)
        await sandbox.clock_moves.wait()


async def run(sandbox: "Sandbox") -> None:
    """The loop beside the API: sleeps until the next work, or until an operation may have made some."""
    pruned = float("-inf")
    while True:
        if time.monotonic() - pruned > housekeeping.HOUR:
            housekeeping.prune(sandbox)
            pruned = time.monotonic()
        sandbox.work_waits.clear()
        following = work_off(sandbox)
        wait = LONGEST_SLEEP if following is None else following - sandbox.clock.now()
        await asyncio.sleep(SHORTEST_SLEEP)
        try:
            async with asyncio.timeout(min(max(wait, 0.0), LONGEST_SLEEP)):
                await sandbox.work_waits.wait()
        except TimeoutError:
            continue

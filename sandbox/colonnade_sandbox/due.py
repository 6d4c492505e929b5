"""Work that falls due as time passes: renewals, ends of trials, scheduled cancellations."""

import asyncio
import heapq
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING

from colonnade_sandbox import housekeeping
from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import lifecycle
from colonnade_sandbox.store import Object

if TYPE_CHECKING:
    from colonnade_sandbox.sandbox import Sandbox

# How long the loop sleeps when nothing is due sooner, and how short it may sleep; seconds.
LONGEST_SLEEP = 60.0
SHORTEST_SLEEP = 0.5


def work_off(sandbox: "Sandbox") -> int | None:
    """Do all work that is due, in the order in which it fell due; answers when the next falls due."""
    queue: list[tuple[int, str, str]] = []
    for account, subscription in sandbox.store.everywhere("subscription"):
        _plan(queue, account, subscription)
    now = sandbox.clock.now()
    while queue and queue[0][0] <= now:
        moment, account, key = heapq.heappop(queue)
        due = sandbox.store.find(account, "subscription", key)
        if due is None:
            continue
        with sandbox.clock.at(moment):
            sandbox.run(partial(lifecycle.work, subscription=due), Call(sandbox, account, account))
        _plan(queue, account, sandbox.store.find(account, "subscription", key))
    return queue[0][0] if queue else None


def _plan(queue: list[tuple[int, str, str]], account: str, subscription: Object | None) -> None:
    moment = lifecycle.due_at(subscription) if subscription is not None else None
    if moment is not None and subscription is not None:
        heapq.heappush(queue, (moment, account, subscription["id"]))


async def run(sandbox: "Sandbox") -> None:
    """The loop beside the API: sleeps until the next work, or until an operation may have made some."""
    pruned = float("-inf")
    while True:
        if time.monotonic() - pruned > housekeeping.HOUR:
            housekeeping.prune(sandbox)
            pruned = time.monotonic()
        sandbox.work_waits.clear()
        try:
            following = work_off(sandbox)
        except Exception:  # one subscription's failure must not end the time of all others
            traceback.print_exc()
            following = None
        wait = LONGEST_SLEEP if following is None else following - sandbox.clock.now()
        await asyncio.sleep(SHORTEST_SLEEP)
        try:
            await asyncio.wait_for(sandbox.work_waits.wait(), min(max(wait, 0.0), LONGEST_SLEEP))
        except TimeoutError:
            continue

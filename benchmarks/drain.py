"""How fast a backlog is drained: the real worker and handlers, against a bare claim and update of the same rows.

    python benchmarks/drain.py [--events 20000] [--tenants 100] [--tasks 4] [--warm 2000]

Both run on one embedded PostgreSQL with durable commits, one after the other. Counts events of one Stripe object that
were handled out of order, or two at once. The clock starts after `--warm` further events: a worker that has just
started plans each statement once on each connection, for 16 partitions.
"""

import argparse
import asyncio
import functools
import itertools
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import asyncpg
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.backlog import Backlog, Scratch, scratch_database

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.garbage import collect_rarely
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.worker import Worker
from colonnade_tenants.events import Event
from colonnade_tenants.handlers import HANDLERS, Handler
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe

_BARE = """
with head as (
    select id, body from inbox i where state = 'pending' and not exists (
        select from inbox e where e.object_id = i.object_id and e.state = 'pending' and e.id < i.id
    ) order by id limit 100 for update skip locked
)
update inbox i set state = 'done', done_at = clock_timestamp() from head where i.id = head.id returning head.body
"""


class Witness:
    """Sees each event of a Stripe object begin and end."""

    def __init__(self) -> None:
        self.running: dict[str, int] = defaultdict(int)
        self.last: dict[str, int] = defaultdict(int)
        self.violations = 0
        self.handled = 0

    def watch(self, handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def watched(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
            _, subscription, number = event.id.split("_")
            self.violations += self.running[subscription] > 0 or int(number) <= self.last[subscription]
            self.running[subscription] += 1
            try:
                await handler(event, tenant, stripe)
            finally:
                self.running[subscription] -= 1
                self.last[subscription] = int(number)
                self.handled += 1

        return watched


async def drain(scratch: Scratch, tasks: int, warm: int) -> tuple[float, int, Witness]:
    """Seconds from *warm* events on until the worker has settled everything, for how many, and what was seen."""
    collect_rarely()  # as the worker process does
    witness = Witness()
    handlers = {name: witness.watch(handler) for name, handler in HANDLERS.items()}
    gateway = StripeGateway(Settings(stripe_api_key="sk_test_1", stripe_api_base="http://127.0.0.1:9"))
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(scratch.service, gateway, data_dir=Path(folder), concurrency=tasks, handlers=handlers)
        running = asyncio.create_task(worker.run())
        while witness.handled < warm:
            await asyncio.sleep(0.01)
        began, before = time.perf_counter(), witness.handled
        await scratch.until_empty()
        seconds, counted = time.perf_counter() - began, witness.handled - before
        worker.stop()
        await running
    await gateway.close()
    return seconds, counted, witness


async def bare(scratch: Scratch, tasks: int) -> float:
    """Seconds until as many loops have claimed and marked everything, and done nothing else."""
    pool = await create_pool(scratch.service, Duty.WORKER, size=tasks)

    async def loop() -> None:
        async with pool.acquire() as connection:
            while await connection.fetch(_BARE):
                pass

    began = time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(tasks)))
    seconds = time.perf_counter() - began
    await pool.close()
    return seconds


async def states(scratch: Scratch) -> dict[str, int]:
    connection = await asyncpg.connect(scratch.admin)
    rows = await connection.fetch("select state, count(*) as n from inbox group by state")
    await connection.close()
    return {row["state"]: row["n"] for row in rows}


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    for name, default in {"events": 6_000, "tenants": 100, "tasks": 4, "rounds": 2, "warm": 2_000}.items():
        options.add_argument(f"--{name}", type=int, default=default)
    wanted = options.parse_args()
    backlog = Backlog(wanted.events + wanted.warm, wanted.tenants)
    speeds: dict[str, list[float]] = {"worker": [], "bare": []}
    violations = 0
    with scratch_database() as scratch:
        await scratch.migrate()
        for turn in itertools.islice(itertools.cycle(("bare", "worker")), 2 * wanted.rounds):
            await scratch.fill(backlog)
            if turn == "bare":
                seconds, counted = await bare(scratch, wanted.tasks), backlog.events
            else:
                seconds, counted, witness = await drain(scratch, wanted.tasks, wanted.warm)
                violations += witness.violations
                if await states(scratch) != {"done": backlog.events} or witness.handled != backlog.events:
                    raise SystemExit(f"not all were handled once: {witness.handled}, {await states(scratch)}")
            speeds[turn].append(counted / seconds)
            print(f"{turn:7} {counted / seconds:8.0f} events/s")
    print(f"ratio {max(speeds['worker']) / max(speeds['bare']):.2f} of a bare claim and update; best of each")
    print(f"order violations {violations}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))

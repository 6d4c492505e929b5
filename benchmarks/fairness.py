"""How long one tenant's events wait while another's import is worked off: a real worker process, durable commits.

    python benchmarks/fairness.py [--waiting 50000] [--seconds 20] [--rate 20]

*waiting* events of tenant 0 are stored; then a trickle of tenant 1's at *rate* a second. From storing one to its commit
is what counts, by the database's clock.
"""

import argparse
import asyncio
import statistics
import sys
from pathlib import Path

import asyncpg
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.backlog import Backlog, Scratch, body, row, scratch_database
from benchmarks.processes import resident_mebibytes, worker_process

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.webhooks.writer import InboxWriter

_WAITED = """
select extract(epoch from done_at - received_at)::float8 from inbox
where event_id like 'evt_trickle_%' and state = 'done' order by 1
"""
TRICKLE = 10**9
"""Subscriptions of the trickle begin here."""


async def trickle(scratch: Scratch, seconds: int, rate: int) -> int:
    """Store events of tenant 1; how many."""
    pool = await create_pool(scratch.service, Duty.INGEST, size=2)
    async with InboxWriter(pool) as writer:
        for number in range(seconds * rate):
            sent = body(TRICKLE + number, 1, 1).replace(b'"evt_', b'"evt_trickle_', 1)
            await writer.store(row(sent))
            await asyncio.sleep(1 / rate)
    await pool.close()
    return seconds * rate


async def until(connection: asyncpg.Connection, query: str, wanted: int) -> None:
    async with asyncio.timeout(300):
        while await connection.fetchval(query) < wanted:
            await asyncio.sleep(0.1)


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    for name, default in {"waiting": 50_000, "seconds": 20, "rate": 20}.items():
        options.add_argument(f"--{name}", type=int, default=default)
    wanted = options.parse_args()
    with scratch_database() as scratch:
        await scratch.migrate()
        await scratch.fill(Backlog(wanted.waiting, 1), tenants=2)
        connection = await asyncpg.connect(scratch.admin)
        with worker_process(scratch.service) as worker:
            done = "select count(*) from inbox where state = 'done'"
            await until(connection, done, 1000)
            before = resident_mebibytes(worker.pid)
            sent = await trickle(scratch, wanted.seconds, wanted.rate)
            left = await connection.fetchval("select count(*) from inbox where state = 'pending'")
            await until(connection, f"{done} and event_id like 'evt_trickle_%'", sent)
            after = resident_mebibytes(worker.pid)
        waited = [each[0] for each in await connection.fetch(_WAITED)]
        await connection.close()
    cuts = statistics.quantiles(waited, n=100)
    print(f"tenant 1: {len(waited)} events, p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms")
    print(f"tenant 0: {left} of {wanted.waiting} were still waiting at the end")
    print(f"worker: {before:.0f} MiB before, {after:.0f} MiB after")
    return 0 if left and cuts[98] < 2 else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))

"""From an event's delivery to the committed entitlement: the real web and worker processes, durable commits.

    python benchmarks/latency.py [--rate 200] [--seconds 60] [--tenants 20]

Signed events are sent at a steady rate, whatever the answers take. Counted is from sending to the time at which the
worker settled it, on one machine's clock; what is not settled when all the others are counts as a failure.
"""

import argparse
import asyncio
import hashlib
import hmac
import statistics
import sys
import time
from pathlib import Path

import aiohttp
import asyncpg
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks._checks import free_port
from benchmarks.backlog import Backlog, body, scratch_database
from benchmarks.processes import SECRET, resident_mebibytes, web_process, worker_process

_DONE = """
select event_id, extract(epoch from done_at)::float8 as done from inbox
where state = 'done' and exists (select from entitlement_changes where cause = event_id)
"""


def signature(payload: bytes) -> str:
    now = str(int(time.time()))
    digest = hmac.new(SECRET.encode(), f"{now}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"


async def ready(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with session.get(f"{url}/health/live") as reply:
                    if reply.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


async def send(url: str, rate: int, seconds: int, tenants: int) -> dict[str, float]:
    """When each event was sent, by id; every one is of a subscription of its own. Raises if one is not taken."""
    sent: dict[str, float] = {}

    async def one(number: int) -> None:
        payload = body(number, number % tenants, 1)
        headers = {"Stripe-Signature": signature(payload), "Content-Type": "application/json"}
        sent[f"evt_{number}_1"] = time.time()
        async with session.post(f"{url}/webhooks/stripe/platform", data=payload, headers=headers) as reply:
            reply.raise_for_status()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=32)) as session:
        await ready(session, url)
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number in range(rate * seconds):
                tasks.create_task(one(number))
                await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
    return sent


async def settled(admin: str, wanted: int) -> dict[str, float]:
    connection = await asyncpg.connect(admin)
    deadline = time.monotonic() + 60
    while len(rows := await connection.fetch(_DONE)) < wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    await connection.close()
    return {row["event_id"]: row["done"] for row in rows}


async def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    for name, default in {"rate": 200, "seconds": 60, "tenants": 20}.items():
        options.add_argument(f"--{name}", type=int, default=default)
    wanted = options.parse_args()
    port = free_port()
    with scratch_database() as scratch:
        await scratch.migrate()
        await scratch.fill(Backlog(0, wanted.tenants))
        with web_process(scratch.service, port), worker_process(scratch.service) as worker:
            sending = asyncio.create_task(send(f"http://127.0.0.1:{port}", wanted.rate, wanted.seconds, wanted.tenants))
            await asyncio.sleep(wanted.seconds / 2)
            before = resident_mebibytes(worker.pid)
            sent = await sending
            done = await settled(scratch.admin, len(sent))
            after = resident_mebibytes(worker.pid)
    waited = [done[name] - at for name, at in sent.items() if name in done]
    cuts = statistics.quantiles(waited, n=100)
    print(f"{len(sent)} events at {wanted.rate}/s, {len(sent) - len(done)} not settled")
    print(f"delivery to committed entitlement: p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms")
    print(f"worker: {before:.0f} MiB halfway, {after:.0f} MiB at the end")
    return 0 if len(sent) == len(done) and cuts[98] < 1 else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))

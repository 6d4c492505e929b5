"""A plan that 100,000 customers have changes: how fast workers carry it through, in what memory, and what checks feel.

    python benchmarks/plan_change.py [--customers 100000]

One tenant has the customers, another has 20. The plan is changed by API, `colonnade worker` recomputes everybody, and
meanwhile one client at a time checks customers of both. A check that had to wait for a batch would take as long as one.
Fails where the slowest of 99 in 100 checks took as long as half a batch, or where the worker's memory grew by more than
64 MB after the first tenth.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import asyncpg
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks._checks import CUSTOMERS, fill, path, product, running, service
from benchmarks.backlog import Scratch, scratch_database

from colonnade_tenants.catalogue import BATCH

LARGE, SMALL = 1, 2
GROWTH = 64
"""Megabytes."""

_MORE = (
    "insert into customers (tenant_id, public_id, reference, stripe_customer)"
    " select 1, 'ecu_1_' || c, 'user-' || c, 'cus_1_' || c from generate_series(21, $1::int) c",
    "insert into subscriptions (tenant_id, id, customer_id, status, started_at, source_created, source_event)"
    " select 1, 'sub' || id, id, 'active', now(), now(), 'evt_1' from customers"
    " where tenant_id = 1 and not exists (select from subscriptions where customer_id = customers.id)",
    "insert into subscription_items (tenant_id, subscription, id, price, product, quantity, current_period_start,"
    " current_period_end) select 1, id, 'si_1', 'price_basic', 'prod_1', 5, now(), now() + '30 days' from subscriptions"
    " where tenant_id = 1 and not exists"
    " (select from subscription_items where tenant_id = 1 and subscription = subscriptions.id)",
    "insert into entitlements (tenant_id, customer_id, feature, valid_from, kind, value, sources)"
    " select 1, id, 'feature_1', now(), 'quantity', 5, '{si_1}' from customers"
    " where tenant_id = 1 and not exists (select from entitlements where tenant_id = 1 and customer_id = customers.id)",
)
_WANTED = {
    "name": "Basic",
    "price": "price_basic",
    "grants": [{"feature": f"feature_{number}", "value": 2, "per_unit": True} for number in (1, 2)],
}


class Seen(NamedTuple):
    """What one round of looking saw: customers done, of all, and the worker's memory in megabytes."""

    done: int
    total: int
    memory: float


async def populate(scratch: Scratch, count: int) -> None:
    """Both tenants, the large one with *count* customers."""
    await fill(scratch, LARGE, SMALL)
    admin = await asyncpg.connect(scratch.admin)
    await admin.execute("set session_replication_role = replica")
    for statement in _MORE:
        await admin.execute(statement, *([count] if "$1" in statement else []))
    await admin.execute("vacuum analyze")
    await admin.close()


def memory(pid: int) -> float:
    """Megabytes that the process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


class Checks:
    """Checks of both tenants in turns, and how long each took, in milliseconds."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self.times: dict[int, list[float]] = {LARGE: [], SMALL: []}

    async def go_on(self) -> None:
        """Until cancelled."""
        for customer in itertools.cycle(range(1, CUSTOMERS + 1)):
            for tenant in (LARGE, SMALL):
                began = time.perf_counter()
                async with self._http.get(path(tenant, customer)) as reply:
                    await reply.read()
                self.times[tenant].append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.005)

    def shown(self, tenant: int) -> str:
        times = sorted(self.times[tenant])
        return f"{statistics.median(times):7.2f} {self.p99(tenant):7.2f} {times[-1]:7.2f}"

    def p99(self, tenant: int) -> float:
        return sorted(self.times[tenant])[int(len(self.times[tenant]) * 0.99)]


@contextmanager
def checking(checks: Checks) -> Iterator[None]:
    """A block in which checks go on."""
    task = asyncio.create_task(checks.go_on())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()


async def carried_through(http: aiohttp.ClientSession, pid: int) -> list[Seen]:
    """Change the plan, and look until everybody is recomputed."""
    await (await http.put(f"/v1/tenants/ten_{LARGE}/plans/basic", json=_WANTED)).read()
    seen: list[Seen] = []
    while not seen or seen[-1].done < seen[-1].total:
        await asyncio.sleep(0.5)
        async with http.get(f"/v1/tenants/ten_{LARGE}/recomputations") as reply:
            (found,) = (await reply.json())["data"]
        seen.append(Seen(found["done"], found["total"], memory(pid)))
    return seen


async def measure(port: int, key: str, pid: int) -> bool:
    """Print the figures; whether they are as promised."""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers, raise_for_status=True) as http:
        before, during = Checks(http), Checks(http)
        with checking(before):
            await asyncio.sleep(5)
        began = time.perf_counter()
        with checking(during):
            seen = await carried_through(http, pid)
        taken = time.perf_counter() - began
    batch = taken * 1000 * BATCH / seen[-1].total
    early = max(each.memory for each in seen if each.done <= max(seen[-1].total // 10, seen[0].done))
    most = max(each.memory for each in seen)
    print(
        f"{seen[-1].total} customers in {taken:.0f} s: {seen[-1].total / taken:.0f} a second, a batch in {batch:.0f} ms"
    )
    print(f"memory of the worker: {early:.0f} MB in the first tenth, {most:.0f} MB at most")
    print("checks, ms               median     p99 slowest")
    for name, checks in (("before", before), ("meanwhile", during)):
        for tenant, whose in ((LARGE, "its own"), (SMALL, "another's")):
            print(f"{name:10} {whose:11} {checks.shown(tenant)}")
    return max(during.p99(tenant) for tenant in (LARGE, SMALL)) < batch / 2 and most - early <= GROWTH


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--customers", type=int, default=100_000)
    wanted = options.parse_args()
    with scratch_database() as scratch, tempfile.TemporaryDirectory() as folder:
        asyncio.run(scratch.migrate())
        asyncio.run(populate(scratch, wanted.customers))
        with (
            product(scratch, Path(folder)) as (port, key),
            running("-m", "colonnade", "worker", environ=service(scratch, Path(folder))) as worker,
        ):
            return 0 if uvloop.run(measure(port, key, worker.pid)) else 1


if __name__ == "__main__":
    sys.exit(main())

"""How long a check takes with 10 tenants and with 100,000, of 20 customers each.

    python benchmarks/check_scale.py [--tenants 100000] [--rounds 5]

Each round asks for 200 customers of 10 tenants, at random among all, whose keys the process knows: once from the
database, after memory was emptied, and then from memory. Medians over one connection, so that no request waits for
another. Beside it, one request each for customers of tenants that the process has never seen. Fails where either
median is more than 1.2 times that of 10 tenants.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks._checks import CUSTOMERS, Load, fill, load, path, product
from benchmarks.backlog import Scratch, scratch_database

from colonnade_tenants.entitlements.rows import CHANNEL

FEW = 10
MOST = 1.2
WAYS = ("database", "memory")


async def measure(scratch: Scratch, port: int, key: str, tenants: int, rounds: int) -> dict[str, float]:
    """Median milliseconds from the database, from memory, and of tenants never seen."""
    admin = await asyncpg.connect(scratch.admin)
    found: dict[str, list[float]] = {way: [] for way in (*WAYS, "never seen")}
    for _ in range(rounds):
        chosen = random.sample(range(1, tenants + 1), FEW)
        first = await load(port, [path(tenant, CUSTOMERS) for tenant in chosen], key, connections=1)
        found["never seen"].append(first.median)
        # What no one understands makes it forget all answers, though not the keys.
        await admin.execute("select pg_notify($1, 'everything')", CHANNEL)
        await asyncio.sleep(0.5)
        paths = [path(tenant, customer) for tenant in chosen for customer in range(1, CUSTOMERS + 1)]
        random.shuffle(paths)
        for way in WAYS:
            seen: Load = await load(port, paths, key, connections=1)
            found[way].append(seen.median)
    await admin.close()
    return {way: statistics.median(times) for way, times in found.items()}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tenants", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=5)
    wanted = options.parse_args()
    with scratch_database() as scratch, tempfile.TemporaryDirectory() as folder:
        asyncio.run(scratch.migrate())
        asyncio.run(fill(scratch, 1, FEW))
        with product(scratch, Path(folder)) as (port, key):
            few = uvloop.run(measure(scratch, port, key, FEW, wanted.rounds))
            began = time.perf_counter()
            for first in range(FEW + 1, wanted.tenants + 1, 10_000):
                asyncio.run(fill(scratch, first, min(first + 9_999, wanted.tenants)))
            print(f"{wanted.tenants} tenants with {CUSTOMERS} customers each in {time.perf_counter() - began:.0f} s")
            many = uvloop.run(measure(scratch, port, key, wanted.tenants, wanted.rounds))
    print(f"{'median ms':12} {FEW:>8} tenants {wanted.tenants:>8} tenants  ratio")
    for way, value in few.items():
        print(f"{way:12} {value:16.3f} {many[way]:16.3f}  {many[way] / value:5.2f}")
    return 0 if all(many[way] <= MOST * few[way] for way in WAYS) else 1


if __name__ == "__main__":
    sys.exit(main())

"""How long a check takes with 10 tenants and with 100,000, of 20 customers each.

    python benchmarks/check_scale.py [--tenants 100000] [--rounds 9]

Each has a database and a `colonnade serve` of its own, and they are asked in turns, so that whatever else the machine
does slows both. Each round asks for 200 customers of 10 tenants, at random among all, whose keys the process knows:
once from the database, after memory was emptied, and then from memory. Medians over one connection, so that no request
waits for another. Beside it, one request each for customers of tenants that the process has never seen. Fails where
either median is more than 1.2 times that of 10 tenants. Filling takes some minutes, and 5 GB.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import asyncpg
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks._checks import CUSTOMERS, fill, load, path, product
from benchmarks.backlog import Scratch, scratch_database

from colonnade_tenants.entitlements.rows import CHANNEL

FEW = 10
MOST = 1.2
WAYS = ("never seen", "database", "memory")
PROMISED = WAYS[1:]

Medians = list[dict[str, float]]
"""Of each deployment, in milliseconds."""


class Deployment(NamedTuple):
    """A server, its database, and how many tenants that has."""

    tenants: int
    admin: asyncpg.Connection
    port: int
    key: str

    async def ask(self) -> dict[str, float]:
        """Median milliseconds of tenants never seen, from the database, and from memory."""
        chosen = random.sample(range(1, self.tenants + 1), FEW)
        seen = [await load(self.port, [path(tenant, CUSTOMERS) for tenant in chosen], self.key, connections=1)]
        # What no one understands makes it forget all answers, though not the keys.
        await self.admin.execute("select pg_notify($1, 'everything')", CHANNEL)
        await asyncio.sleep(0.5)
        paths = [path(tenant, customer) for tenant in chosen for customer in range(1, CUSTOMERS + 1)]
        random.shuffle(paths)
        seen += [await load(self.port, paths, self.key, connections=1) for _ in ("database", "memory")]
        return {way: found.median for way, found in zip(WAYS, seen, strict=True)}


async def measure(scratches: list[Scratch], servers: list[tuple[int, str]], sizes: list[int], rounds: int) -> Medians:
    """The medians of each deployment."""
    admins = [await asyncpg.connect(scratch.admin) for scratch in scratches]
    asked = [Deployment(*each) for each in zip(sizes, admins, *zip(*servers, strict=True), strict=True)]
    found = [[await each.ask() for each in asked] for _ in range(rounds)]
    for admin in admins:
        await admin.close()
    return [
        {way: statistics.median(of_round[place][way] for of_round in found) for way in WAYS}
        for place in range(len(asked))
    ]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tenants", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=9)
    wanted = options.parse_args()
    sizes = [FEW, wanted.tenants]
    with ExitStack() as stack:
        scratches = [stack.enter_context(scratch_database()) for _ in sizes]
        for scratch, tenants in zip(scratches, sizes, strict=True):
            began = time.perf_counter()
            asyncio.run(scratch.migrate())
            asyncio.run(fill(scratch, 1, tenants))
            print(
                f"{tenants} tenants with {CUSTOMERS} customers each in {time.perf_counter() - began:.0f} s", flush=True
            )
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in sizes]
        servers = [stack.enter_context(product(*each)) for each in zip(scratches, folders, strict=True)]
        few, many = uvloop.run(measure(scratches, servers, sizes, wanted.rounds))
    print(f"{'median ms':12} {FEW:>8} tenants {wanted.tenants:>8} tenants  ratio")
    for way in WAYS:
        print(f"{way:12} {few[way]:16.3f} {many[way]:16.3f}  {many[way] / few[way]:5.2f}")
    return 0 if all(many[way] <= MOST * few[way] for way in PROMISED) else 1


if __name__ == "__main__":
    sys.exit(main())

"""The CPU time of recomputing a customer: the pure computation, and a batch from rows to rows as a plan changes.

    python benchmarks/recompute.py [--customers 200] [--rounds 10]

Each customer has a subscription of two items to two plans of eight features, and one has an override. Every round
changes both plans, so that each customer's rows are read, computed, compared and written with their history and
notifications, on the embedded PostgreSQL: eight changes, each from one interval to two. CPU is that of this process,
set up as a worker is. Fails at 1 ms or more for one customer either way.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import asyncpg
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.backlog import Scratch, scratch_database
from tests.tenants.conftest import StripeReads
from tests.tenants.payloads import START, event, item, item_list, subscription

from colonnade.database import migrate
from colonnade.database.connections import create_engine, create_pool
from colonnade.database.roles import Duty
from colonnade.garbage import collect_rarely
from colonnade_tenants import catalogue, customers
from colonnade_tenants.catalogue import Feature, Grant, Plan, Scope, affected
from colonnade_tenants.entitlements import overrides
from colonnade_tenants.entitlements.compute import compute
from colonnade_tenants.entitlements.facts import load
from colonnade_tenants.entitlements.overrides import NewOverride
from colonnade_tenants.handlers import HANDLERS
from colonnade_tenants.partition import tenant_connection, tenant_session

FEATURES = [f"f{number}" for number in range(8)]
PRICES = ("price_a", "price_b")
TENANT = 7
"""Tenant tables refer to no table of the platform's: any number is a tenant."""


class Spent(NamedTuple):
    """Milliseconds."""

    cpu: float
    time: float


async def sell(engine: AsyncEngine, value: int) -> None:
    """Both plans grant *value* of each feature for each unit, from now on; nobody is recomputed."""
    async with tenant_session(engine, TENANT) as session:
        for price in PRICES:
            grants = [Grant(feature, value, per_unit=True) for feature in FEATURES]
            await catalogue.put_plan(session, Plan(price, price, price=price, grants=grants))


async def populate(engine: AsyncEngine, pool: asyncpg.Pool, count: int) -> list[int]:
    """Features, plans, and *count* customers with a subscription each; their internal ids."""
    async with tenant_session(engine, TENANT) as session:
        for feature in FEATURES:
            await catalogue.put_feature(session, Feature(feature, "quantity", feature))
    await sell(engine, 1)
    for number in range(count):
        items = (item(f"{number}{price}", price, 2) for price in PRICES)
        body = subscription(id=f"sub_{number}", customer=f"cus_{number}", items=item_list(*items))
        told = event("created", START, body)
        async with tenant_connection(pool, TENANT) as tenant:
            await HANDLERS[told.type](told, tenant, StripeReads())
    async with tenant_session(engine, TENANT) as session:
        found = [customer.id for customer in await customers.list_page(session, limit=count)]
        await overrides.add(session, found[0], NewOverride("f0", "set", "why", "who", value=9))
    return found


async def forget_versions(admin: asyncpg.Connection) -> None:
    """As if what the plans grant now had always been so: each round then is a plan's first change."""
    await admin.execute("delete from plan_versions v where version < (select max(version) from plan_versions)")
    await admin.execute("update plan_versions set version = 1, effective_from = null")


async def computed(pool: asyncpg.Pool, customer: int, rounds: int) -> Spent:
    """One pure computation."""
    async with tenant_connection(pool, TENANT) as tenant:
        facts = (await load(tenant, [customer]))[customer]
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(100 * rounds):
        compute(facts)
    return Spent(10 * (time.process_time() - cpu) / rounds, 10 * (time.perf_counter() - began) / rounds)


async def recomputed(
    engine: AsyncEngine, pool: asyncpg.Pool, admin: asyncpg.Connection, count: int, rounds: int
) -> Spent:
    """One customer of a batch, from rows to rows, while a plan changes."""
    cpu = taken = 0.0
    for number in range(rounds):
        await forget_versions(admin)
        await batch(pool, count, f"before:{number}")
        affected.BATCH = 1  # the change itself leaves all but one to the batch that is measured
        await sell(engine, 2 + number)
        began, cpu_began = time.perf_counter(), time.process_time()
        done = await batch(pool, count, f"plan:{number}")
        cpu, taken = cpu + time.process_time() - cpu_began, taken + time.perf_counter() - began
        if done != count:
            sys.exit(f"{done} of {count} customers were recomputed")
    return Spent(1000 * cpu / (rounds * count), 1000 * taken / (rounds * count))


async def batch(pool: asyncpg.Pool, count: int, cause: str) -> int:
    """Recompute all in one batch; how many."""
    affected.BATCH = count
    async with tenant_connection(pool, TENANT) as tenant:
        return len(await affected.recompute_batch(tenant, Scope(prices=PRICES), cause, after=0))


async def measure(scratch: Scratch, count: int, rounds: int) -> None:
    """Print the figures."""
    await migrate.upgrade(scratch.admin, scratch.service)
    engine, pool = (
        create_engine(scratch.service, Duty.APP, size=2),
        await create_pool(scratch.service, Duty.WORKER, size=1),
    )
    admin = await asyncpg.connect(scratch.admin)
    found = await populate(engine, pool, count)
    collect_rarely()
    alone = await computed(pool, found[0], rounds)
    print(f"computed:              {alone.cpu:.3f} ms of CPU for a customer")
    together = await recomputed(engine, pool, admin, count, rounds)
    print(f"recomputed in a batch: {together.cpu:.3f} ms of CPU, {together.time:.2f} ms for a customer")
    await admin.close()
    await pool.close()
    await engine.dispose()
    if max(alone.cpu, together.cpu) >= 1:
        sys.exit("one customer took 1 ms of CPU or more")


def main() -> None:
    """Measure on a database of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    with scratch_database() as scratch:
        uvloop.run(measure(scratch, asked.customers, asked.rounds))


if __name__ == "__main__":
    main()

"""How many notifications a second a worker delivers, against a loop that posts the same bodies with the same client.

    python benchmarks/notify.py [--notifications 4000] [--rounds 3]

One server takes both, and answers 200 at once: first what `colonnade worker`'s part publishes and delivers to 10
endpoints of 10 tenants, 20 customers each, signed, in order by customer and noted in the database; then the bare loop,
with as many requests at a time and no signature, order or note. Both in this process, on the embedded PostgreSQL with
durable commits. CPU is that of this process, which has the taking server in it too.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import NamedTuple

import aiohttp
import asyncpg
import msgspec
import uvloop
from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.backlog import Scratch, scratch_database

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.garbage import collect_rarely
from colonnade.notifications.delivering import PER_ENDPOINT, Notifier
from colonnade.notifications.secrets import Vault, new_secret
from colonnade.notifications.sender import Sender
from colonnade_tenants.notifications import Note, record
from colonnade_tenants.notifications.payloads import EntitlementChanges
from colonnade_tenants.partition import tenant_connection

TENANTS, CUSTOMERS = 10, 20
_TENANTS = """
insert into tenants (public_id, name, charge_type, stripe_account, fingerprint)
select 'ten_' || t, 'Shop', 'destination', 'acct_' || t, '' from generate_series(1, $1::int) t
"""
_CUSTOMERS = """
insert into customers (tenant_id, public_id, reference, stripe_customer)
select t, 'ecu_' || t || '_' || c, 'user-' || c, 'cus_' || t || '_' || c
from generate_series(1, $1::int) t, generate_series(1, $2::int) c
"""
_ENDPOINT = """
insert into notification_endpoints (tenant_id, public_id, url, types, secrets)
values ($1::bigint, 'nep_' || $1::bigint, $2, '{}', $3::text::jsonb)
"""


class Rate(NamedTuple):
    """Notifications a second, and milliseconds of CPU for each."""

    per_second: float
    cpu: float


class Taker:
    """Answers 200 at once, and keeps the bodies."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def take(self, request: web.BaseRequest) -> web.Response:
        self.bodies.append(await request.read())
        return web.Response()

    async def until(self, count: int) -> None:
        while len(self.bodies) < count:
            await asyncio.sleep(0.005)


async def populate(scratch: Scratch, url: str, vault: Vault) -> None:
    """Tenants with customers, and an endpoint each."""
    await scratch.migrate()
    admin = await asyncpg.connect(scratch.admin)
    await admin.execute(_TENANTS, TENANTS)
    await admin.execute(_CUSTOMERS, TENANTS, CUSTOMERS)
    for tenant in range(1, TENANTS + 1):
        await admin.execute(_ENDPOINT, tenant, url, msgspec.json.encode([vault.seal(new_secret())]).decode())
    await admin.execute("vacuum analyze")
    await admin.close()


async def tell(pool: asyncpg.Pool, count: int) -> None:
    """Record *count* notifications, about each customer in turns."""
    for tenant_id in range(1, TENANTS + 1):
        async with tenant_connection(pool, tenant_id) as tenant:
            rows = await tenant._connection.fetch("select id from customers")
            subjects = [rows[number % len(rows)]["id"] for number in range(count // TENANTS)]
            await record(
                tenant, [Note("entitlements.changed", EntitlementChanges("evt_1", []), each) for each in subjects]
            )


async def timed(work: Awaitable[object], count: int) -> Rate:
    """How fast *work* deals with *count*."""
    began, cpu = time.perf_counter(), time.process_time()
    await work
    return Rate(count / (time.perf_counter() - began), 1000 * (time.process_time() - cpu) / count)


async def post_all(url: str, bodies: list[bytes]) -> None:
    """The bare loop."""
    waiting = iter(bodies)

    async def post(http: aiohttp.ClientSession) -> None:
        for body in waiting:
            async with http.post(url, data=body, headers={"Content-Type": "application/json"}) as reply:
                await reply.read()

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(post(http) for _ in range(TENANTS * PER_ENDPOINT)))


async def measure(scratch: Scratch, count: int, rounds: int) -> None:
    """Print the figures."""
    taker, vault = Taker(), Vault("k" * 32)
    runner = web.ServerRunner(web.Server(taker.take))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await populate(scratch, url, vault)
    collect_rarely()
    ours: list[Rate] = []
    bare: list[Rate] = []
    async with await create_pool(scratch.service, Duty.WORKER, size=1) as pool:
        for _ in range(rounds):
            await tell(pool, count)
            taker.bodies.clear()
            notifier = asyncio.create_task(Notifier(scratch.service, vault, Sender(loopback=True)).run())
            ours.append(await timed(taker.until(count), count))
            notifier.cancel()
            await asyncio.gather(notifier, return_exceptions=True)
            bodies = taker.bodies[:]
            taker.bodies.clear()
            bare.append(await timed(post_all(url, bodies), count))
    await runner.cleanup()
    print("           a second  ms of CPU")
    for name, rates in (("delivered", ours), ("bare loop", bare)):
        print(f"{name:10} {middle(rates).per_second:8.0f}  {middle(rates).cpu:9.2f}")
    print(f"{middle(ours).per_second / middle(bare).per_second:.2f} of the bare loop")


def middle(rates: list[Rate]) -> Rate:
    """The medians."""
    return Rate(*(statistics.median(values) for values in zip(*rates, strict=True)))


def main() -> None:
    """Measure on a database of its own."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--notifications", type=int, default=4000)
    options.add_argument("--rounds", type=int, default=3)
    wanted = options.parse_args()
    with scratch_database() as scratch:
        uvloop.run(measure(scratch, wanted.notifications, wanted.rounds))


if __name__ == "__main__":
    main()

"""How fast a single check is, against the least that an answer costs, and against what one would do without Colonnade.

    python benchmarks/check.py [--seconds 3] [--rounds 3] [--connections 32]

All are asked in turns by one client over the same connections, each served by granian with one worker:

- `colonnade serve`, from memory: key, tenant, customer and feature are looked up, and the answer is counted;
- bare: a Litestar route that reads a dictionary and encodes the same answer;
- joined: a Litestar route that joins subscriptions, items, plans and grants through SQLAlchemy each time, as one would
  with a mirror of Stripe's objects;
- SDK: a Litestar route that lists the customer's subscriptions with Stripe's SDK each time. It asks the local Stripe,
  on the same cores and without a network: with the real one it is some hundred milliseconds slower.

Fails below 0.9 of bare.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import stripe
import uvloop
from litestar import Litestar, get
from litestar.params import FromPath
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks._checks import CUSTOMERS, FEATURES, Load, fill, free_port, load, path, process, product
from benchmarks.backlog import scratch_database

from colonnade.checks.answers import EntitlementCheck

LEAST = 0.9
_KEY = "sk_test_benchmark"
_JOINED = text("""
select sum(case when g.per_unit then g.value * i.quantity else g.value end) as value
from mirror.customers c
join mirror.subscriptions s on s.tenant_id = c.tenant_id and s.customer_id = c.id and s.status in ('active', 'trialing')
join mirror.subscription_items i on i.tenant_id = s.tenant_id and i.subscription = s.id
join mirror.plans p on p.tenant_id = i.tenant_id and p.price = i.price
join mirror.plan_grants g on g.tenant_id = p.tenant_id and g.plan = p.key and g.feature = :feature
where c.tenant_id = :tenant and c.reference = :reference
""")


_MIRRORED = {
    "customers": "tenant_id, reference",
    "subscriptions": "tenant_id, customer_id",
    "subscription_items": "tenant_id, subscription",
    "plans": "tenant_id, price",
    "plan_grants": "tenant_id, plan, feature",
}


async def mirror(url: str) -> None:
    """The same rows as plain tables: without partitions and row-level security, as one would have them."""
    connection = await asyncpg.connect(url)
    await connection.execute("create schema mirror")
    for table, key in _MIRRORED.items():
        await connection.execute(f"create table mirror.{table} as table {table}")
        await connection.execute(f"create index on mirror.{table} ({key})")
        await connection.execute(f"analyze mirror.{table}")
    await connection.close()


def others() -> Litestar:
    """The application with the three other ways, below `/bare`, `/joined` and `/sdk`."""
    engine = create_async_engine(os.environ["BENCHMARK_DATABASE"].replace("postgresql://", "postgresql+asyncpg://"))
    client = stripe.StripeClient(
        _KEY, base_addresses={"api": os.environ["BENCHMARK_STRIPE"]}, http_client=stripe.AIOHTTPClient()
    )
    now = datetime.now(UTC)

    def answer(feature: str, value: int) -> EntitlementCheck:
        return EntitlementCheck(
            feature, "quantity", None, True, value, now, None, ["si_1"], as_of=now, events_complete_until=None
        )

    known = {
        ("ten_1", f"user-{customer}", f"feature_{feature}"): answer(f"feature_{feature}", 5)
        for customer in range(1, CUSTOMERS + 1)
        for feature in range(1, FEATURES + 1)
    }
    shape = "/v1/tenants/{tenant:str}/customers/{reference:str}/entitlements/{feature:str}"

    @get(f"/bare{shape}")
    async def bare(tenant: FromPath[str], reference: FromPath[str], feature: FromPath[str]) -> EntitlementCheck:
        return known[tenant, reference, feature]

    @get(f"/joined{shape}")
    async def joined(tenant: FromPath[str], reference: FromPath[str], feature: FromPath[str]) -> EntitlementCheck:
        values = {"tenant": int(tenant.removeprefix("ten_")), "reference": reference, "feature": feature}
        async with engine.connect() as connection:
            value = (await connection.execute(_JOINED, values)).scalar()
        return answer(feature, int(value or 0))

    @get(f"/sdk{shape}")
    async def sdk(tenant: FromPath[str], reference: FromPath[str], feature: FromPath[str]) -> EntitlementCheck:
        found = await client.v1.subscriptions.list_async({"customer": os.environ["BENCHMARK_CUSTOMER"]})
        return answer(feature, sum(item.quantity or 0 for each in found.data for item in each["items"].data))

    @get("/")
    async def ready() -> str:
        return ""

    return Litestar([bare, joined, sdk, ready], openapi_config=None, logging_config=None)


@contextmanager
def local_stripe() -> Iterator[tuple[str, str]]:
    """A sandbox with one subscribed customer: its URL, and the customer."""
    command = [sys.executable, "-m", "colonnade_sandbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        url = running.stdout.readline().split("ready at ")[1].strip() if running.stdout else ""
        try:
            client = stripe.StripeClient(_KEY, base_addresses={"api": url})
            customer = client.v1.customers.create(
                {"payment_method": "pm_card_visa", "invoice_settings": {"default_payment_method": "pm_card_visa"}}
            )
            price = client.v1.prices.create(
                {
                    "currency": "eur",
                    "unit_amount": 900,
                    "recurring": {"interval": "month"},
                    "product_data": {"name": "Plan"},
                }
            )
            client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id, "quantity": 5}]})
            yield url, customer.id
        finally:
            running.terminate()


async def measure(ports: dict[str, int], key: str, options: argparse.Namespace) -> dict[str, list[Load]]:
    """Each way in turns."""
    found: dict[str, list[Load]] = {way: [] for way in ports}
    for seconds in (0.5, *[options.seconds] * options.rounds):
        for way, port in ports.items():
            prefix = "" if way == "colonnade" else f"/{way}"
            paths = [prefix + path(1, customer) for customer in range(1, CUSTOMERS + 1)]
            seen = await load(port, paths, key, connections=options.connections, seconds=seconds)
            if seconds == options.seconds:
                found[way].append(seen)
    return found


def show(found: dict[str, list[Load]]) -> float:
    """Print the figures; how `colonnade` compares with `bare`."""
    middle = {
        way: Load(*(statistics.median(values) for values in zip(*runs, strict=True))) for way, runs in found.items()
    }
    print("way        answers/s  median ms  p99 ms  of bare")
    for way, seen in middle.items():
        of_bare = seen.rate / middle["bare"].rate
        print(f"{way:10} {seen.rate:9.0f}  {seen.median:9.2f}  {seen.p99:6.2f}  {of_bare:7.2f}")
    for way in ("joined", "sdk"):
        print(f"colonnade answers {middle['colonnade'].rate / middle[way].rate:.1f} times as many as {way}")
    return middle["colonnade"].rate / middle["bare"].rate


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"seconds": 3.0, "rounds": 3, "connections": 32}.items():
        options.add_argument(f"--{name}", type=type(default), default=default)
    options.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    wanted = options.parse_args()
    if wanted.serve:
        serve(wanted.serve)
        return 0
    with scratch_database() as scratch, local_stripe() as (url, customer), tempfile.TemporaryDirectory() as folder:
        asyncio.run(scratch.migrate())
        asyncio.run(fill(scratch, 1, 10))
        asyncio.run(mirror(scratch.admin))
        port = free_port()
        environ = {"BENCHMARK_DATABASE": scratch.admin, "BENCHMARK_STRIPE": url, "BENCHMARK_CUSTOMER": customer}
        with (
            product(scratch, Path(folder)) as (ours, key),
            process(__file__, "--serve", str(port), environ=environ, ready=f"http://127.0.0.1:{port}/"),
        ):
            ports = {"bare": port, "colonnade": ours, "joined": port, "sdk": port}
            ratio = show(uvloop.run(measure(ports, key, wanted)))
    print(f"{ratio:.2f} of bare; at least {LEAST} is wanted")
    return 0 if ratio >= LEAST else 1


def serve(port: int) -> None:
    """The other ways, by the server that `colonnade serve` uses."""
    from granian import Granian
    from granian.constants import Interfaces

    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    target = "benchmarks.check:others"
    Granian(target, factory=True, port=port, workers=1, interface=Interfaces.ASGI, log_enabled=False).serve()


if __name__ == "__main__":
    sys.exit(main())

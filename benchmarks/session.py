"""What Colonnade adds to making a portal session: its route against the bare SDK call, over one local Stripe.

    python benchmarks/session.py [--calls 800] [--parallel 32] [--answer-ms 300] [--spread 50]

Both sides take turns in one run, with the same parameters; which begins changes with each round. What Colonnade adds
is the difference of the medians of all their calls; the difference of each round's tells how sure that is.

The local Stripe answers after *answer-ms*, as Stripe does from afar, and as with Stripe no two answers take the same
time: from *spread* per cent less to as much more, evenly, and each turn of either side gets the same sequence. Were
they all the same, the callers would come back together for ever, and queue for two cores: what is then measured is
that queue, of either side. That view follows for comparison, and the one in which Stripe answers at once: there the
machine is saturated, and what is measured is how many processes share its cores.

Callers go on without a break, and those that count began apart: what is measured is the stream that they make, not the
burst of all at once. Whoever calls Colonnade has a client of their own choice for that; it is none of what Colonnade
adds, so the one here does as little as can be.

CPU times are of each process while its side had its turns, with what it does besides. That of the client is Python's
too, and holds the bare side's SDK.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import stripe

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import _cpu
from benchmarks._checks import free_port, process
from benchmarks.backlog import Scratch, scratch_database

from colonnade.access.keys import create_platform_key

KEY = "sk_test_benchmark"
ORIGIN = "https://shop.example"
ROUNDS = 4
CUSTOMERS = 160
"""A customer's sessions of the last minute are counted for each new one; real ones have few."""
WARM = 8
"""Calls of each caller before those that count, in each round: each of the database's connections plans each statement
once, for 16 partitions, and callers that began together are apart by then, if Stripe's answers are."""


class Answers(NamedTuple):
    """How long Stripe takes: so many *milliseconds*, and up to *spread* per cent less or more."""

    milliseconds: int
    spread: int

    def __str__(self) -> str:
        return f"{self.milliseconds} ms" + (f", {self.spread} % less or more" if self.spread else "")


class Connection:
    """Calls a service in as little time as can be: how a tenant's backend calls Colonnade is not Colonnade's.

    The bare side has nothing of that kind. Its client is the SDK's, which the service has as well.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def to(cls, url: str) -> "Connection":
        """One that stays open."""
        host, _, port = url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def post(self, path: str, key: str) -> bytes:
        """The answer to an empty object, which has to be 201."""
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        self._writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        body = await self._reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        if not head.startswith("http/1.1 201"):
            raise SystemExit(f"{head}{body.decode()}")
        return body


class Shop:
    """A tenant with a portal and customers, at *web*; and the same at *sandbox* for the bare SDK."""

    def __init__(self, http: aiohttp.ClientSession, web: str, sandbox: str, key: str) -> None:
        self.http, self.web, self.sandbox, self.key = http, web, sandbox, key
        self.customers: list[str] = []
        self._idle: list[Connection] = []
        stripe.enable_telemetry = False
        self.client = stripe.AIOHTTPClient()
        self.sdk = stripe.StripeClient(
            KEY, http_client=self.client, max_network_retries=2, base_addresses={"api": sandbox}
        )

    async def call(self, method: str, path: str, body: Any) -> Any:
        """A call to Colonnade, which has to succeed."""
        headers = {"Authorization": f"Bearer {self.key}"}
        async with self.http.request(method, f"{self.web}{path}", json=body, headers=headers) as reply:
            said = await reply.json()
            if reply.status >= 300:
                raise SystemExit(f"{method} {path}: {said}")
        return said

    async def fill(self, customers: int) -> None:
        """The tenant, its configuration and so many customers."""
        tenant = await self.call("POST", "/v1/tenants", {"name": "Shop", "country": "DE", "return_origins": [ORIGIN]})
        self.path = f"/v1/tenants/{tenant['id']}"
        self.account: str = tenant["account"]
        portal = {"features": {"subscription_cancel": {"enabled": True}}, "default_return_url": f"{ORIGIN}/"}
        made = await self.call("PUT", f"{self.path}/portal-configurations/main", portal)
        self.configuration: str = made["stripe_configuration"]
        for number in range(customers):
            found = await self.call("PUT", f"{self.path}/customers/c{number}", {"email": f"c{number}@example.com"})
            self.customers.append(found["stripe_customer"])

    async def ours(self, number: int) -> None:
        """A session by Colonnade's route."""
        connection = self._idle.pop() if self._idle else await Connection.to(self.web)
        path = f"{self.path}/customers/c{number % len(self.customers)}/portal-sessions"
        if b'"url"' not in await connection.post(path, self.key):
            raise SystemExit("no session")
        self._idle.append(connection)

    async def bare(self, number: int) -> None:
        """The same by the SDK alone."""
        params = {
            "customer": self.customers[number % len(self.customers)],
            "configuration": self.configuration,
            "on_behalf_of": self.account,
            "return_url": f"{ORIGIN}/",
        }
        reply = await self.sdk.raw_request_async("post", "/v1/billing_portal/sessions", **params)
        if "url" not in reply.data:
            raise SystemExit(f"no session: {reply.data}")

    async def answer_after(self, answers: Answers) -> None:
        """Let the local Stripe take so long for every session; again, and the sequence of delays begins anew."""
        delay = {"delay": answers.milliseconds / 1000, "spread": answers.spread / 100}
        fault = {"next": 10**9, "status": 0, "path": "/v1/billing_portal/sessions", **delay}
        body = {"api": fault} if answers.milliseconds else {}
        async with self.http.post(f"{self.sandbox}/_sandbox/faults", json=body) as reply:
            reply.raise_for_status()


async def times(
    one: Callable[[int], Awaitable[None]], calls: int, parallel: int, begun: Callable[[], None]
) -> list[float]:
    """Milliseconds of each call after the first of each caller's, which are not counted; *begun* is told of their end.

    Nobody waits for the others between: else they would all come at once.
    """
    found: list[float] = []
    warm = WARM * parallel
    numbers = iter(range(warm + calls))

    async def caller() -> None:
        for number in numbers:
            if number == warm:
                begun()
            began = time.perf_counter()
            await one(number)
            if number >= warm:
                found.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(caller() for _ in range(parallel)))
    return found


Processes = dict[str, Callable[[], float]]
"""What tells the seconds of CPU that each has used."""


class Side:
    """What was measured of one side: milliseconds of each call, and seconds of CPU by process."""

    def __init__(self, name: str, one: Callable[[int], Awaitable[None]], processes: Processes) -> None:
        self.name, self._one, self._processes = name, one, processes
        self.found: list[float] = []
        self.medians: list[float] = []
        self._cpu = dict.fromkeys(processes, 0.0)

    async def turn(self, calls: int, parallel: int) -> None:
        """One round."""
        before: dict[str, float] = {}
        found = await times(self._one, calls, parallel, lambda: before.update(self._spent()))
        self.found += found
        self.medians.append(statistics.median(found))
        for name, spent in self._spent().items():
            self._cpu[name] += spent - before[name]

    def _spent(self) -> dict[str, float]:
        return {name: spent() for name, spent in self._processes.items()}

    @property
    def median(self) -> float:
        return statistics.median(self.found)

    def __str__(self) -> str:
        p99 = sorted(self.found)[int(len(self.found) * 0.99)]
        cpu = ", ".join(f"{name} {1000 * spent / len(self.found):.2f}" for name, spent in self._cpu.items())
        return f"  {self.name:10} median {self.median:7.1f} ms   p99 {p99:7.1f} ms   CPU ms a session: {cpu}"


async def compare(shop: Shop, processes: Processes, wanted: argparse.Namespace, answers: Answers) -> None:
    """Print both sides' medians and what the difference is."""
    bare, ours = Side("bare SDK", shop.bare, processes), Side("Colonnade", shop.ours, processes)
    for number in range(ROUNDS):
        for side in (ours, bare) if number % 2 else (bare, ours):
            await shop.answer_after(answers)
            await side.turn(wanted.calls // ROUNDS, wanted.parallel)
    rounds = ", ".join(f"{one - other:.1f}" for one, other in zip(ours.medians, bare.medians, strict=True))
    print(f"\n{wanted.parallel} in parallel, Stripe answers after {answers}\n{bare}\n{ours}")
    print(f"  added at the median {ours.median - bare.median:.1f} ms (rounds: {rounds})", flush=True)


async def database(scratch: Scratch) -> int:
    """The process that started all of the database's."""
    connection = await asyncpg.connect(scratch.admin)
    backend: int = await connection.fetchval("select pg_backend_pid()")
    try:
        return _cpu.parent(backend)
    finally:
        await connection.close()


async def measure(scratch: Scratch, folder: Path, wanted: argparse.Namespace) -> None:
    """Start everything, and compare."""
    ports = free_port(), free_port()
    web, sandbox = (f"http://127.0.0.1:{port}" for port in ports)
    environ = {
        "COLONNADE_DATABASE_URL": scratch.service,
        "COLONNADE_SECRET_KEY": "k" * 32,
        "COLONNADE_DATA_DIR": str(folder),
        "COLONNADE_STRIPE_API_KEY": KEY,
        "COLONNADE_STRIPE_API_BASE": sandbox,
        "COLONNADE_STRIPE_BUDGET_PERCENT": "10000",
        "COLONNADE_PORTAL_SESSIONS_PER_MINUTE": "1000000",
        "COLONNADE_PORT": str(ports[0]),
        "COLONNADE_LOG_LEVEL": "warning",
        **{k: v for k, v in __import__("os").environ.items() if k.startswith("COLONNADE_")},
    }
    key = await create_platform_key(scratch.service, "benchmark")
    sandbox_command = ("-m", "colonnade_sandbox", "--port", str(ports[1]))
    with (
        process(*sandbox_command, environ={}, ready=f"{sandbox}/_sandbox/requests") as stripe_process,
        process("-m", "colonnade", "serve", environ=environ, ready=f"{web}/health/live") as web_process,
    ):
        processes: Processes = {
            "web": partial(_cpu.seconds, web_process.pid),
            "database": partial(_cpu.seconds, await database(scratch)),
            "Stripe": partial(_cpu.seconds, stripe_process.pid),
            "client": time.process_time,
        }
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=wanted.parallel)) as http:
            shop = Shop(http, web, sandbox, key)
            await shop.fill(customers=CUSTOMERS)
            for answers in views(wanted):
                await compare(shop, processes, wanted, answers)
            await shop.client.close_async()  # type: ignore[no-untyped-call]


def views(wanted: argparse.Namespace) -> Iterable[Answers]:
    """What is compared, each once."""
    far = wanted.answer_ms
    return dict.fromkeys((Answers(far, wanted.spread), Answers(far, 0), Answers(0, 0)))


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"calls": 800, "parallel": 32, "answer-ms": 300, "spread": 50}.items():
        options.add_argument(f"--{name}", type=int, default=default)
    wanted = options.parse_args()
    with scratch_database() as scratch, tempfile.TemporaryDirectory() as folder:
        await scratch.migrate()
        await measure(scratch, Path(folder), wanted)


if __name__ == "__main__":
    asyncio.run(main())

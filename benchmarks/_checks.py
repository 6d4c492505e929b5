"""What the benchmarks of checks share: tenants with customers and entitlements, `colonnade serve`, and a client."""

import asyncio
import itertools
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import asyncpg
from benchmarks.backlog import Scratch

from colonnade.access.keys import create_platform_key

FEATURES = 10
CUSTOMERS = 20
"""Of each tenant; each has a subscription that grants all features."""

TENANTS_AT_ONCE = 5_000

# Nothing is to be recovered, and half-filled pages need not be written twice.
_IN_BULK = ("max_wal_size = '16GB'", "checkpoint_timeout = '1h'", "autovacuum = off", "synchronous_commit = off")
_COPIES = "set session_replication_role = replica"  # what follows is consistent; checking it takes most of the time
_TENANTS = "from generate_series($1::int, $2::int) t"
_FEATURES = _TENANTS + ", generate_series(1, 10) f"
_CUSTOMERS = _TENANTS + ", generate_series(1, 20) c"
_FILL = {
    "tenants (public_id, name, charge_type, stripe_account, fingerprint)": (
        "'ten_' || t, 'Shop', 'destination', 'acct_' || t, '' " + _TENANTS
    ),
    "features (tenant_id, key, kind, name)": "t, 'feature_' || f, 'quantity', 'F' " + _FEATURES,
    "plans (tenant_id, key, name, price)": "t, 'basic', 'Basic', 'price_basic' " + _TENANTS,
    "plan_versions (tenant_id, plan, version, price, grants)": (
        "t, 'basic', 1, 'price_basic', "
        """'[{"feature": "feature_1", "kind": "quantity", "value": 1, "per_unit": true}]' """ + _TENANTS
    ),
    "plan_grants (tenant_id, plan, feature, value, per_unit)": "t, 'basic', 'feature_' || f, 1, true " + _FEATURES,
    "customers (tenant_id, public_id, reference, stripe_customer)": (
        "t, 'ecu_' || t || '_' || c, 'user-' || c, 'cus_' || t || '_' || c " + _CUSTOMERS
    ),
    "subscriptions (tenant_id, id, customer_id, status, started_at, source_created, source_event)": (
        "tenant_id, 'sub' || id, id, 'active', now(), now(), 'evt_1' from customers "
        "where tenant_id between $1::int and $2::int"
    ),
    "subscription_items (tenant_id, subscription, id, price, product, quantity, current_period_start, "
    "current_period_end)": (
        "tenant_id, id, 'si_1', 'price_basic', 'prod_1', 5, now(), now() + '30 days' from subscriptions "
        "where tenant_id between $1::int and $2::int"
    ),
    "entitlements (tenant_id, customer_id, feature, valid_from, kind, value, sources)": (
        "tenant_id, id, 'feature_1', now() - interval '1 day', 'quantity', 5, '{si_1}' from customers "
        "where tenant_id between $1::int and $2::int"
    ),
}


async def fill(scratch: Scratch, first: int, last: int) -> None:
    """Tenants *first* to *last*, by internal id, with what belongs to them."""
    admin = await asyncpg.connect(scratch.admin)
    for setting in _IN_BULK:
        await admin.execute(f"alter system set {setting}")
    await admin.execute("select pg_reload_conf()")
    middle = (first + last) // 2
    await asyncio.gather(_insert(scratch, first, middle), _insert(scratch, middle + 1, last))
    for setting in _IN_BULK:
        await admin.execute(f"alter system reset {setting.split()[0]}")
    await admin.execute("select pg_reload_conf()")
    await admin.execute("vacuum analyze")
    await admin.execute("checkpoint")  # else what was inserted is still being written while checks are measured
    await admin.close()


async def _insert(scratch: Scratch, first: int, last: int) -> None:
    connection = await asyncpg.connect(scratch.admin)
    await connection.execute(_COPIES)
    for began in range(first, last + 1, TENANTS_AT_ONCE):
        for table, rows in _FILL.items():
            ended = min(began + TENANTS_AT_ONCE - 1, last)
            await connection.execute(f"insert into {table} select {rows}", began, ended)
    await connection.close()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def running(*command: str, environ: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of ours, until the block ends."""
    with subprocess.Popen([sys.executable, *command], env={**os.environ, **environ}) as started:
        try:
            yield started
        finally:
            started.terminate()


@contextmanager
def process(*command: str, environ: dict[str, str], ready: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A server, from its first answer at *ready* on."""
    with running(*command, environ=environ) as started:
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(ready, timeout=1).close()  # noqa: S310 - our own server
                break
            except OSError:
                if time.monotonic() > deadline or started.poll() is not None:
                    raise SystemExit("the server does not start") from None
                time.sleep(0.1)
        yield started


def service(scratch: Scratch, folder: Path) -> dict[str, str]:
    """The settings of Colonnade's processes."""
    return {
        "COLONNADE_DATABASE_URL": scratch.service,
        "COLONNADE_SECRET_KEY": "k" * 32,
        "COLONNADE_DATA_DIR": str(folder),
        "COLONNADE_STRIPE_API_KEY": "sk_test_1",
        "COLONNADE_STRIPE_API_BASE": "http://127.0.0.1:9",  # nothing here asks Stripe
        "COLONNADE_LOG_LEVEL": "error",
    }


@contextmanager
def product(scratch: Scratch, folder: Path) -> Iterator[tuple[int, str]]:
    """`colonnade serve` with one worker: its port, and a key of the platform team."""
    port = free_port()
    environ = service(scratch, folder) | {"COLONNADE_PORT": str(port)}
    key = asyncio.run(create_platform_key(scratch.service, "benchmark"))
    with process("-m", "colonnade", "serve", environ=environ, ready=f"http://127.0.0.1:{port}/health/live"):
        yield port, key


class Load(NamedTuple):
    """What a client saw: answers per second, and their times in milliseconds."""

    rate: float
    median: float
    p99: float

    @classmethod
    def of(cls, times: list[float], seconds: float) -> "Load":
        ordered = sorted(times)
        return cls(len(times) / seconds, statistics.median(ordered) * 1000, ordered[int(len(ordered) * 0.99)] * 1000)


def path(tenant: int, customer: int) -> str:
    """The single check of that customer."""
    return f"/v1/tenants/ten_{tenant}/customers/user-{customer}/entitlements/feature_1"


class _Client(asyncio.Protocol):
    """One connection that sends a request as soon as it has the answer to the last, until there is none."""

    def __init__(self, requests: Iterator[bytes], times: list[float]) -> None:
        self._requests, self._times = requests, times
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            self.done.set_result(None)
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(SystemExit(f"not answered: {head.decode()}"))
            return
        self._times.append(time.perf_counter() - self._sent)
        self._received = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(SystemExit(f"the server closed the connection: {error}"))


async def load(port: int, paths: Sequence[str], key: str, *, connections: int = 32, seconds: float = 0) -> Load:
    """GET the paths over connections that stay open, in turns for some *seconds*; 0: each once."""
    written = [f"GET {each} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode() for each in paths]
    times: list[float] = []
    began = time.perf_counter()
    requests: Iterator[bytes]
    if seconds:
        requests = itertools.takewhile(lambda _: time.perf_counter() < began + seconds, itertools.cycle(written))
    else:
        requests = iter(written)
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Client(requests, times), "127.0.0.1", port) for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for _, client in made))
    return Load.of(times, time.perf_counter() - began)

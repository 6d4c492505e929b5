"""The service as its operators run it: a PostgreSQL that can be killed, and processes that can."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from colonnade.database.embedded import EmbeddedPostgres
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import Admin, admin, environment, event, free_port, signature
from tests.tenants import payloads

_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Cluster:
    """An embedded PostgreSQL of its own, with commits that last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holds: list[EmbeddedPostgres] = []
        self.start()

    def start(self) -> None:
        """Start it, or start it again after `kill`."""
        server = EmbeddedPostgres(self._folder)
        server.start()
        self._holds.append(server)

    def kill(self) -> None:
        """End the server as a power cut would."""
        pid = int((self._folder / "postgres/data/postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        for server in self._holds:
            server.stop()

    @property
    def url(self) -> str:
        return self._holds[-1].url("postgres", "postgres")


class Deployment:
    """One database, and the processes that are started on it; all are killed at the end."""

    def __init__(self, database: ScratchDatabase, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.database = database
        self.port = free_port()
        self._folder = folder
        own = {"COLONNADE_PORT": str(self.port), "COLONNADE_SWEEP_SECONDS": "0"}
        self._environ = {**os.environ, **environment(database, folder), **own, **(environ or {})}
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, module: str = "colonnade") -> "subprocess.Popen[bytes]":
        """A process in a group of its own; what it says goes to a file."""
        with (self._folder / f"{command[0]}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *command],
                env=self._environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """`kill -9` of a process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

    async def deliver(self, sent: dict[str, Any]) -> int:
        """One try of Stripe's: the status, 0 for none."""
        body = json.dumps(sent).encode()
        head = (
            f"POST /webhooks/stripe/platform HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Stripe-Signature: {signature(body)}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            reader, stream = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                stream.write(head.encode() + body)
                return int((await reader.readline() or b"x 0").split()[1])
            finally:
                stream.close()
        except ConnectionError:
            return 0

    async def deliver_until_stored(self, history: list[dict[str, Any]], answered: list[str]) -> None:
        """Each event again until it is acknowledged; its id goes to *answered* then."""
        for sent in history:
            async with asyncio.timeout(100):
                while await self.deliver(sent) != 200:
                    await asyncio.sleep(0.2)
            answered.append(sent["id"])

    def end(self) -> None:
        for process in self._running:
            self.kill(process)


@contextmanager
def deployed(database: ScratchDatabase, folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[Deployment]:
    deployment = Deployment(database, folder, environ)
    try:
        yield deployment
    finally:
        deployment.end()


@asynccontextmanager
async def with_plan(database: ScratchDatabase) -> AsyncIterator[Admin]:
    """A tenant whose plan grants a seat for each unit."""
    async with admin(database) as db:
        tenant = await db.tenant("acct_1")
        for statement in (
            "insert into features (tenant_id, key, kind, name) values ($1, 'seats', 'quantity', 'Seats')",
            "insert into plans (tenant_id, key, name, price) values ($1, 'basic', 'Basic', 'price_basic')",
            "insert into plan_versions (tenant_id, plan, version, price, grants) values ($1, 'basic', 1, 'price_basic',"
            """ '[{"feature": "seats", "kind": "quantity", "value": 1, "per_unit": true}]')""",
        ):
            await db.connection.execute(statement, tenant)
        yield db


def histories(subscriptions: int, events: int) -> list[list[dict[str, Any]]]:
    """For each subscription *events*, each a second after the other and with a seat more: 1, 2, …"""
    return [[_event(number, seats) for seats in range(1, events + 1)] for number in range(subscriptions)]


def _event(number: int, seats: int) -> dict[str, Any]:
    item = payloads.item(str(number), quantity=seats, subscription=f"sub_{number}")
    thing = payloads.subscription("active", item, id=f"sub_{number}", customer=f"cus_{number}")
    kind = "created" if seats == 1 else "updated"
    previous = None if seats == 1 else {"items": payloads.item_list(item | {"quantity": seats - 1})}
    name = f"evt_{number}_{seats}"
    return event(f"customer.subscription.{kind}", thing, previous, id=name, created=payloads.START + seats)


async def until_waiting(db: Admin, duty: str, wait: str, table: str) -> None:
    """Return once a connection of *duty* that writes to *table* waits: for a `Lock`, or in its commit (`SyncRep`).

    A commit that waits still has its locks. Without *table* another of the process's loops might be it.
    """
    waiting = (
        "select count(*) from pg_stat_activity a join pg_locks l using (pid) "
        "where application_name = 'colonnade ' || $1 and datname = current_database() "
        "and $2 in (wait_event_type, wait_event) and relation = $3::text::regclass "
        "and (mode = 'RowExclusiveLock' or not granted)"
    )
    async with asyncio.timeout(60):
        while not await db.connection.fetchval(waiting, duty, wait, table):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def blocked(database: ScratchDatabase, table: str, mode: str = "share") -> AsyncIterator[None]:
    """A block in which every write to the table waits."""
    async with admin(database) as other, other.connection.transaction():
        await other.connection.execute(f"lock table {table} in {mode} mode")
        yield


@asynccontextmanager
async def hanging_commits(db: Admin) -> AsyncIterator[None]:
    """A block in which a commit lasts, and whoever made it is not told: it waits for a standby that does not exist."""
    await db.connection.execute("alter system set synchronous_standby_names = 'nobody'")
    await db.connection.execute("select pg_reload_conf()")
    try:
        await asyncio.sleep(0.3)
        yield
    finally:
        await db.connection.execute("alter system reset synchronous_standby_names")
        await db.connection.execute("select pg_reload_conf()")


async def settled(database: ScratchDatabase, events: int, within: float = 100) -> None:
    """Return once so many events are done and none waits; the database may be gone meanwhile."""
    deadline = time.monotonic() + within
    found: dict[str, int] = {}
    while found != {"done": events}:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)
        with contextlib.suppress(*_LOST):
            async with admin(database) as db:
                rows = await db.connection.fetch("select state, count(*) as n from inbox group by state")
            found = {row["state"]: row["n"] for row in rows}


async def seats_over_time(db: Admin) -> dict[str, list[int]]:
    """By customer, how many seats each entitlement change left, in the order of the history."""
    rows = await db.connection.fetch(
        "select stripe_customer, after, cause, sequence from entitlement_changes e "
        "join customers c on c.tenant_id = e.tenant_id and c.id = e.customer_id order by stripe_customer, sequence"
    )
    assert len({row["cause"] for row in rows}) == len(rows)  # no event changed anything twice
    found: dict[str, list[int]] = {}
    for row in rows:
        seats = found.setdefault(row["stripe_customer"], [])
        seats.append(json.loads(row["after"])[-1]["value"])
        assert row["sequence"] == len(seats)
    return found

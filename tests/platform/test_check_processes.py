"""Two web processes, changes all the while: what each answers held when it says, and is never a second behind."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from colonnade.access import keys
from colonnade.database.connections import connect, create_engine, create_pool
from colonnade.database.roles import Duty
from tests.conftest import ScratchDatabase
from tests.platform.checking import KILL_LISTENERS
from tests.platform.deliveries import Admin, admin
from tests.platform.test_webhooks_server import serving
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import START, changed, event, item, subscription

pytestmark = pytest.mark.slow

PROMISED = 1.0
"""Seconds that an answer may be behind."""
BUSY = timedelta(milliseconds=100)
"""For how long PostgreSQL may stand still on a busy machine between its clock and what it reads."""


class Change(NamedTuple):
    """The customer has *seats* seats; it was committed between the two, on the database's clock; *at* on ours."""

    seats: int
    begun: datetime
    done: datetime
    at: float


class Seen(NamedTuple):
    """An answer, and when it was asked for."""

    process: int
    asked: float
    seats: int
    as_of: datetime


class Scene:
    """A customer whose seats change all the while, and two processes that are asked all the while."""

    def __init__(self, tenant: Tenant, db: Admin, key: str, ports: list[int]) -> None:
        self._tenant, self._db, self._key = tenant, db, key
        self._ports = ports
        self.changes: list[Change] = []
        self.seen: list[Seen] = []

    async def change(self) -> None:
        """One seat more."""
        seats = len(self.changes) + 1
        after = subscription("active", item(quantity=seats))
        begun = await self._clock()
        if seats == 1:
            await self._tenant.handle(event("created", START, after))
        else:
            before = subscription("active", item(quantity=seats - 1))
            await self._tenant.handle(changed(START + seats, before, after))
        self.changes.append(Change(seats, begun, await self._clock(), time.monotonic()))

    async def _clock(self) -> datetime:
        at: datetime = await self._db.connection.fetchval("select clock_timestamp()")
        return at

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """A block in which it changes, and both processes are asked."""
        self._over = False
        changing = asyncio.create_task(self._change())
        asking = [asyncio.create_task(self._ask(process)) for process in (0, 1)]
        try:
            yield
        finally:
            for task in asking:
                task.cancel()
            errors = await asyncio.gather(*asking, return_exceptions=True)
            self._over = True
            await changing
        assert all(isinstance(error, asyncio.CancelledError) for error in errors), errors

    async def _change(self) -> None:
        while not self._over:
            await self.change()
            await asyncio.sleep(0.02)

    async def _ask(self, process: int) -> None:
        async with self.client(process) as client:
            while True:
                asked = time.monotonic()
                reply = await client.get("/v1/tenants/ten_acct_1/customers/ref/entitlements/quantity_seats")
                assert reply.status_code == 200, reply.text
                answer = reply.json()
                self.seen.append(Seen(process, asked, answer["value"], datetime.fromisoformat(answer["as_of"])))

    def client(self, process: int) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._ports[process]}",
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=30,
            trust_env=False,
        )

    async def sources(self, process: int) -> dict[str, float]:
        """How many answers of that process came from where."""
        async with self.client(process) as client:
            text = (await client.get("/metrics")).text
        found = re.findall(r'^colonnade_checks_total\{source="(\w+)"\} ([\d.e+]+)$', text, re.M)
        return {source: float(count) for source, count in found}

    async def from_memory(self) -> None:
        """Return once both have answered from memory some times more."""
        for process in (0, 1):
            before = (await self.sources(process))["memory"]
            async with asyncio.timeout(30):
                while (await self.sources(process))["memory"] < before + 5:
                    await asyncio.sleep(0.05)

    def check(self) -> None:
        """Every answer held at its `as_of`, and was not behind."""
        assert {each.process for each in self.seen} == {0, 1}
        for each in self.seen:
            least = sum(change.done <= each.as_of for change in self.changes)
            most = sum(change.begun <= each.as_of + BUSY for change in self.changes)
            assert least <= each.seats <= most, each
            late = sum(change.at <= each.asked - PROMISED for change in self.changes)
            assert each.seats >= late, (each, self.changes[each.seats - 1 :])


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A block in which the process stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
async def scene(database: ScratchDatabase, tmp_path: Path) -> AsyncIterator[tuple[Scene, int]]:
    """The scene, and the id of its second process."""
    url = database.service_url
    engine = create_engine(url, Duty.APP, size=2)
    app, worker = await create_pool(url, Duty.APP, size=2), await create_pool(url, Duty.WORKER, size=2)
    platform = await connect(url, Duty.PLATFORM)
    async with admin(database) as db:
        tenant = Tenant(await db.tenant("acct_1"), engine, app, worker)
        key = (await keys.store(platform, keys.random_key("tenant"), "shop", tenant.id, ["check"])).secret
        await tenant.sell(quantity_seats=1)
        await tenant.has_customer()
        with (
            serving(database, tmp_path, "granian") as (_, first),
            serving(database, tmp_path, "uvicorn") as (process, second),
        ):
            scene = Scene(tenant, db, key, [first, second])
            await scene.change()
            yield scene, process.pid
    await platform.close()
    await engine.dispose()
    await app.close()
    await worker.close()


async def test_answers_hold_when_they_say_and_are_never_a_second_behind(
    scene: tuple[Scene, int], database: ScratchDatabase
) -> None:
    """Nor while the connections that listen are killed again and again, nor after a process stood still."""
    running, pid = scene
    async with running.going_on():
        await running.from_memory()
        before = [await running.sources(process) for process in (0, 1)]
        killed = await kill_listeners(database, seconds=1.5)
        after = [await running.sources(process) for process in (0, 1)]
        await running.from_memory()
        with stopped(pid):
            await asyncio.sleep(1.3)
        await running.from_memory()
    assert killed >= 4
    assert all(new["database"] > old["database"] + 10 for old, new in zip(before, after, strict=True)), (before, after)
    running.check()


async def kill_listeners(database: ScratchDatabase, seconds: float) -> int:
    """Whenever a connection listens, end it; how many that were."""
    killed = 0
    ends = time.monotonic() + seconds
    async with admin(database) as db:
        while time.monotonic() < ends:
            killed += len(await db.connection.fetch(KILL_LISTENERS))
            await asyncio.sleep(0.02)
    return killed

"""The worker as a process of its own: killed, told to stop, started twice."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import ScratchDatabase
from tests.platform.deliveries import Admin, admin, environment, event, web
from tests.tenants import payloads

pytestmark = pytest.mark.slow

SUBSCRIPTION = payloads.subscription(on_behalf_of="acct_1", transfer_data={"destination": "acct_1"})


@contextmanager
def worker_process(environ: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A running `colonnade worker`; killed at the end of the block if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "colonnade", "worker"],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.fixture
async def db(database: ScratchDatabase) -> AsyncIterator[Admin]:
    async with admin(database) as db:
        tenant = await db.tenant("acct_1")
        for statement in (
            "insert into features (tenant_id, key, kind, name) values ($1, 'export', 'flag', 'Export')",
            "insert into plans (tenant_id, key, name, price) values ($1, 'basic', 'Basic', 'price_basic')",
            "insert into plan_versions (tenant_id, plan, version, price, grants) values ($1, 'basic', 1, 'price_basic',"
            """ '[{"feature": "export", "kind": "flag", "value": 1}]')""",
        ):
            await db.connection.execute(statement, tenant)
        yield db


@asynccontextmanager
async def blocked_handlers(database: ScratchDatabase) -> AsyncIterator[None]:
    """A block in which a handler that mirrors a subscription waits for a lock, having written already."""
    async with admin(database) as other, other.connection.transaction():
        await other.connection.execute("lock table subscription_items in access exclusive mode")
        yield


async def until_waiting(db: Admin, process: "subprocess.Popen[str]") -> None:
    """Return once the worker's transaction waits for that lock."""
    waiting = (
        "select count(*) from pg_stat_activity where application_name = 'colonnade worker' "
        "and datname = current_database() and wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(60):
        while not await db.connection.fetchval(waiting):
            assert process.poll() is None, process.communicate()[0]
            await asyncio.sleep(0.05)


async def deliver(database: ScratchDatabase, *events: dict[str, object]) -> None:
    async with web(database) as client:
        for sent in events:
            assert (await client.deliver(json.dumps(sent).encode())).status_code == 200


async def changes(db: Admin) -> list[tuple[str, str]]:
    rows = await db.connection.fetch("select feature, cause from entitlement_changes order by recorded_at, sequence")
    return [(row["feature"], row["cause"]) for row in rows]


async def test_a_worker_killed_between_claim_and_commit_loses_and_doubles_nothing(
    db: Admin, database: ScratchDatabase, tmp_path: Path
) -> None:
    created = event("customer.subscription.created", SUBSCRIPTION, created=payloads.START)
    updated = event(
        "customer.subscription.updated",
        SUBSCRIPTION | {"cancel_at": payloads.PERIOD_END},
        {"cancel_at": None},
        created=payloads.START + 5,
    )
    await deliver(database, created, updated)
    environ = environment(database, tmp_path)
    async with blocked_handlers(database):
        with worker_process(environ) as process:
            await until_waiting(db, process)
            process.send_signal(signal.SIGKILL)
            assert process.wait(20) == -signal.SIGKILL
    assert {(row["state"], row["attempts"]) for row in await db.inbox()} == {("pending", 0)}
    assert await changes(db) == []
    with worker_process(environ), worker_process(environ):
        rows = await db.settled(str(created["id"]), str(updated["id"]), within=60)
    assert {(row["state"], row["attempts"]) for row in rows} == {("done", 0)}
    (mirrored,) = await db.connection.fetch("select status, cancel_at, source_event from subscriptions")
    assert (mirrored["status"], mirrored["cancel_at"].timestamp()) == ("active", payloads.PERIOD_END)
    assert mirrored["source_event"] == updated["id"]
    assert await changes(db) == [("export", created["id"]), ("export", updated["id"])]


async def test_a_worker_told_to_stop_finishes_its_batch_and_exits_with_zero(
    db: Admin, database: ScratchDatabase, tmp_path: Path
) -> None:
    created = event("customer.subscription.created", SUBSCRIPTION, created=payloads.START)
    await deliver(database, created)
    with worker_process(environment(database, tmp_path)) as process:
        async with blocked_handlers(database):
            await until_waiting(db, process)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, 1)
        said, _ = await asyncio.to_thread(process.communicate, None, 20)
        assert process.returncode == 0, said
    assert "worker stopped" in said
    assert "Traceback" not in said
    assert (await db.row(str(created["id"])))["state"] == "done"
    assert await changes(db) == [("export", created["id"])]


async def test_a_worker_with_an_unsafe_login_says_so_and_exits_with_one(
    database: ScratchDatabase, tmp_path: Path
) -> None:
    environ = environment(database, tmp_path) | {"COLONNADE_DATABASE_URL": database.admin_url}
    with worker_process(environ) as process:
        said, _ = await asyncio.to_thread(process.communicate, None, 30)
    assert process.returncode == 1
    assert "row-level security" in said
    assert "Traceback" not in said

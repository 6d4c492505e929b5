"""`kill -9` at each commit point, a database killed under load, Stripe down.

Nothing that was acknowledged is lost, nothing is applied twice, and all of it goes on by itself. The points are hit by
locks that the tests hold in PostgreSQL, and by commits that hang; the product knows nothing of it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from colonnade.database import migrate
from tests.conftest import ScratchDatabase, new_database
from tests.end_to_end.deployment import (
    Cluster,
    Deployment,
    blocked,
    deployed,
    hanging_commits,
    histories,
    seats_over_time,
    settled,
    until_waiting,
    with_plan,
)
from tests.platform.api import Sandbox
from tests.platform.deliveries import Admin, admin, event
from tests.tenants import payloads

SUBSCRIPTIONS, EVENTS = 6, 5

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def migrated(cluster: Cluster) -> Iterator[str]:
    with new_database(cluster.url, "template0") as database:
        asyncio.run(migrate.upgrade(database.admin_url, database.service_url))
        yield database.name


@pytest.fixture
def own_database(cluster: Cluster, migrated: str) -> Iterator[ScratchDatabase]:
    with new_database(cluster.url, migrated) as database:
        yield database


@pytest.fixture
async def db(own_database: ScratchDatabase) -> AsyncIterator[Admin]:
    async with with_plan(own_database) as db:
        yield db


@pytest.fixture
def deployment(own_database: ScratchDatabase, tmp_path: Path) -> Iterator[Deployment]:
    with deployed(own_database, tmp_path) as running:
        yield running


async def assert_each_applied_once(database: ScratchDatabase, subscriptions: int, events: int) -> None:
    """All events are done, and every customer's seats only ever rose to the last."""
    await settled(database, subscriptions * events)
    async with admin(database) as db:
        seats = await seats_over_time(db)
    assert len(seats) == subscriptions
    for found in seats.values():
        assert found == sorted(set(found))
        assert found[-1] == events


@pytest.mark.parametrize("point", ["before the insert", "after the commit, before the answer"])
async def test_a_web_process_killed_at_a_commit_point_loses_and_doubles_nothing(
    db: Admin, own_database: ScratchDatabase, deployment: Deployment, point: str
) -> None:
    web = deployment.start("serve")
    answered: list[str] = []
    first = event("customer.created", {"id": "cus_first"})
    await deployment.deliver_until_stored([first], answered)
    await db.connection.execute("delete from inbox")
    before = point == "before the insert"
    async with blocked(own_database, "inbox") if before else hanging_commits(db):
        sending = [
            asyncio.create_task(deployment.deliver_until_stored(history, answered))
            for history in histories(SUBSCRIPTIONS, EVENTS)
        ]
        await until_waiting(db, "ingest", "Lock" if before else "SyncRep", "inbox")
        deployment.kill(web)
        assert answered == [first["id"]]
    if not before:
        async with asyncio.timeout(20):
            while not await db.inbox():  # stored, and nobody was told
                await asyncio.sleep(0.05)
    deployment.start("serve")
    deployment.start("worker")
    await asyncio.gather(*sending)
    assert len(set(answered)) == 1 + SUBSCRIPTIONS * EVENTS
    await assert_each_applied_once(own_database, SUBSCRIPTIONS, EVENTS)


@pytest.mark.parametrize(
    ("point", "table"),
    [("claimed", "stripe_objects"), ("effects written", "entitlement_changes"), ("committed, not counted", None)],
)
async def test_a_worker_killed_at_a_commit_point_loses_and_doubles_nothing(
    db: Admin, own_database: ScratchDatabase, deployment: Deployment, point: str, table: str | None
) -> None:
    deployment.start("serve")
    answered: list[str] = []
    await asyncio.gather(
        *(deployment.deliver_until_stored(history, answered) for history in histories(SUBSCRIPTIONS, EVENTS))
    )
    mode = "access exclusive" if point == "claimed" else "share"
    async with blocked(own_database, table, mode) if table else hanging_commits(db):
        worker = deployment.start("worker")
        await until_waiting(db, "worker", "Lock" if table else "SyncRep", table or "entitlement_changes")
        deployment.kill(worker)
    async with asyncio.timeout(20):
        while await db.connection.fetchval(
            "select count(*) from pg_stat_activity where application_name = 'colonnade worker' "
            "and datname = current_database()"
        ):
            await asyncio.sleep(0.05)
    done = sum(row["state"] == "done" for row in await db.inbox())
    assert done == 0 if table else done > 0
    assert bool(await seats_over_time(db)) == (table is None)
    deployment.start("worker")
    deployment.start("worker")
    await assert_each_applied_once(own_database, SUBSCRIPTIONS, EVENTS)


async def test_a_database_killed_and_restarted_under_load_loses_and_doubles_nothing(
    cluster: Cluster, own_database: ScratchDatabase, deployment: Deployment, db: Admin
) -> None:
    deployment.start("serve")
    deployment.start("worker")
    answered: list[str] = []
    sending = [asyncio.create_task(deployment.deliver_until_stored(history, answered)) for history in histories(12, 15)]
    for wanted in (30, 90):
        async with asyncio.timeout(100):
            while len(answered) < wanted:
                await asyncio.sleep(0.02)
        cluster.kill()
        await asyncio.to_thread(cluster.start)
    await asyncio.gather(*sending)
    await assert_each_applied_once(own_database, 12, 15)


async def test_while_stripe_is_down_what_needs_no_read_is_applied_and_the_rest_recovers(
    own_database: ScratchDatabase, db: Admin, tmp_path: Path
) -> None:
    with deployed(own_database, tmp_path) as stripe:
        stripe_command = ("--port", str(stripe.port), "--data", str(tmp_path / "stripe.sqlite"))
        url = f"http://127.0.0.1:{stripe.port}"
        running = stripe.start(*stripe_command, module="colonnade_sandbox")
        sandbox = Sandbox(url)
        subscription = await subscribed(sandbox)
        stripe.kill(running)
        environ = {"COLONNADE_STRIPE_API_BASE": url, "COLONNADE_STRIPE_API_KEY": sandbox.key}
        with deployed(own_database, tmp_path, environ) as deployment:
            deployment.start("serve")
            deployment.start("worker")
            # A list that goes on has to be read: the event holds a part of it.
            partial = subscription | {"on_behalf_of": "acct_1"}
            partial["items"] = partial["items"] | {"has_more": True}
            reads = event("customer.subscription.created", partial, id="evt_reads", created=payloads.START)
            answered: list[str] = []
            await deployment.deliver_until_stored([reads], answered)
            await deployment.deliver_until_stored(histories(1, 3)[0], answered)
            await db.settled("evt_0_1", "evt_0_2", "evt_0_3", within=60)
            async with asyncio.timeout(60):
                while not (await db.row("evt_reads"))["reason"]:
                    await asyncio.sleep(0.1)
            waiting = await db.row("evt_reads")
            assert (waiting["state"], waiting["attempts"]) == ("pending", 0)  # an outage uses up no try
            assert await seats_over_time(db) == {"cus_0": [1, 2, 3]}
            stripe.start(*stripe_command, module="colonnade_sandbox")
            await settled(own_database, 4)
    assert await db.connection.fetchval("select status from subscriptions where id = $1", subscription["id"])


async def subscribed(sandbox: Sandbox) -> dict[str, Any]:
    """A subscription at the local Stripe, once that is up."""
    async with asyncio.timeout(60):
        while True:
            try:
                price = await sandbox.price()
                break
            except httpx.TransportError:
                await asyncio.sleep(0.2)
    customer = await sandbox.call("POST", "/v1/customers", {"payment_method": "pm_card_visa"})
    form = {"customer": customer["id"], "items[0][price]": price["id"], "default_payment_method": "pm_card_visa"}
    return await sandbox.call("POST", "/v1/subscriptions", form)

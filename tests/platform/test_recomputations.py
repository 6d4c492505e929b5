"""Changes that workers carry on, batch after batch, and ends that come by the clock."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple

import asyncpg
import pytest
from sqlalchemy import func, select

from colonnade.catalogue import recomputations
from colonnade.database.connections import create_engine, create_pool
from colonnade.database.roles import Duty
from colonnade.entitlements import clocks
from colonnade_tenants import catalogue, customers
from colonnade_tenants.catalogue import Feature, Grant, Plan, Policy, affected
from colonnade_tenants.entitlements import overrides, rows
from colonnade_tenants.entitlements.overrides import NewOverride
from colonnade_tenants.handlers import HANDLERS
from colonnade_tenants.partition import TENANT, TenantSession, tenant_connection, tenant_session
from tests.conftest import ScratchDatabase
from tests.tenants.conftest import StripeReads
from tests.tenants.payloads import START, event, subscription


class Shop(NamedTuple):
    """A tenant with five customers who have a seat each."""

    id: int
    engine: Any
    worker: asyncpg.Pool
    admin: asyncpg.Connection

    async def put(self, seats: int) -> str | None:
        """A new version of the plan; the recomputation that it left."""
        async with tenant_session(self.engine, self.id) as session:
            grants = [Grant("seats", seats)]
            done = await catalogue.put_plan(session, Plan("basic", "Basic", price="price_basic", grants=grants))
            return await recomputations.schedule(session, done.rest)

    async def seats(self) -> list[int]:
        found = await self.admin.fetch(
            "select value from entitlements where tenant_id = $1 and valid_until is null order by customer_id", self.id
        )
        return [row["value"] for row in found]

    async def seen(self, public_id: str) -> recomputations.Recomputation:
        async with tenant_session(self.engine, self.id) as session:
            return await recomputations.get(session, public_id)

    async def history(self) -> list[tuple[str, bool]]:
        """Each change's cause, and whether its timelines differ."""
        found = await self.admin.fetch(
            "select cause, before is distinct from after as differs from entitlement_changes"
            " where tenant_id = $1 order by recorded_at, sequence",
            self.id,
        )
        return [(row["cause"], row["differs"]) for row in found]


@pytest.fixture
async def shop(shared_database: ScratchDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setattr(affected, "BATCH", 2)
    monkeypatch.setattr(recomputations, "BATCH", 2)
    admin = await asyncpg.connect(shared_database.admin_url)
    tenant = await admin.fetchval(
        "insert into tenants (public_id, name, charge_type, fingerprint)"
        " values ('ten_' || gen_random_uuid(), 'Shop', 'destination', '') returning id"
    )
    engine = create_engine(shared_database.service_url, Duty.APP, size=2)
    worker = await create_pool(shared_database.service_url, Duty.WORKER, size=3)
    shop = Shop(tenant, engine, worker, admin)
    async with tenant_session(engine, tenant) as session:
        await catalogue.put_feature(session, Feature("seats", "quantity", "Seats"))
    await shop.put(1)
    for number in range(5):
        body = subscription(id=f"sub_{number}", customer=f"cus_{number}")
        told = event("created", START, body)
        async with tenant_connection(worker, tenant) as connection:
            await HANDLERS[told.type](told, connection, StripeReads())
    yield shop
    await admin.execute("delete from recomputations")
    await admin.close()
    await worker.close()
    await engine.dispose()


async def test_a_change_goes_through_all_customers_with_progress(shop: Shop) -> None:
    left = await shop.put(2)
    assert left is not None
    assert await shop.seats() == [2, 2, 1, 1, 1]
    found = await shop.seen(left)
    assert (found.cause, found.state, found.done, found.total) == ("plan:basic@2", "running", 2, 5)
    assert await recomputations.advance(shop.worker)
    assert ((await shop.seen(left)).done, await shop.seats()) == (4, [2, 2, 2, 2, 1])
    assert await recomputations.advance(shop.worker)
    found = await shop.seen(left)
    assert (found.state, found.done, found.finished_at is not None) == ("done", 5, True)
    assert await shop.seats() == [2] * 5
    assert not await recomputations.advance(shop.worker)
    assert [cause for cause, _ in await shop.history()][5:] == ["plan:basic@2"] * 5


async def test_what_is_left_of_a_change_waits_until_its_tenant_is_back(shop: Shop) -> None:
    await shop.put(2)
    set_back = "update tenants set coming_back = $2 where id = $1"
    await shop.admin.execute(set_back, shop.id, True)
    assert not await recomputations.advance(shop.worker)
    assert await shop.seats() == [2, 2, 1, 1, 1]
    await shop.admin.execute(set_back, shop.id, False)
    assert await recomputations.advance(shop.worker)
    assert await shop.seats() == [2, 2, 2, 2, 1]


async def test_a_batch_of_many_customers_announces_all_at_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    await shop.admin.add_listener(rows.CHANNEL, lambda *message: heard.append(message[3]))
    await shop.put(2)
    await shop.admin.fetchval("select 1")
    one_by_one = sorted(heard)
    monkeypatch.setattr(rows, "MANY", 1)
    heard.clear()
    assert await recomputations.advance(shop.worker)
    await shop.admin.fetchval("select 1")
    assert heard == [f"{shop.id}:*"]
    first = await shop.admin.fetch("select id from customers where tenant_id = $1 order by id limit 2", shop.id)
    assert one_by_one == sorted(f"{shop.id}:{row['id']}" for row in first)


async def test_a_small_change_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affected, "BATCH", 10)
    assert await shop.put(2) is None
    assert await shop.seats() == [2] * 5


async def test_what_a_killed_worker_did_not_commit_is_done_again(shop: Shop) -> None:
    left = await shop.put(2)
    assert left is not None
    blocker = await shop.admin.fetchval(
        "select id from customers where tenant_id = $1 and stripe_customer = 'cus_3'", shop.id
    )
    transaction = shop.admin.transaction()
    await transaction.start()
    await shop.admin.execute("select from customers where id = $1 for update", blocker)
    advancing = asyncio.create_task(recomputations.advance(shop.worker))
    while not await shop.admin.fetchval("select exists (select from pg_locks where not granted)"):
        await asyncio.sleep(0.01)
    assert not await recomputations.advance(shop.worker), "the batch is in another's hands"
    await shop.admin.execute("select pg_terminate_backend(pid) from pg_locks where not granted")
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await advancing
    await transaction.rollback()
    assert ((await shop.seen(left)).done, await shop.seats()) == (2, [2, 2, 1, 1, 1])
    while await recomputations.advance(shop.worker):
        pass
    assert ((await shop.seen(left)).state, await shop.seats()) == ("done", [2] * 5)


async def test_a_batch_that_fails_says_why_and_is_tried_again_later(shop: Shop) -> None:
    left = await shop.put(2)
    assert left is not None
    await shop.admin.execute("update recomputations set scope = '{\"prices\": 5}' where public_id = $1", left)
    assert await recomputations.advance(shop.worker)
    found = await shop.seen(left)
    assert (found.state, found.done) == ("running", 2)
    assert "prices" in (found.problem or "")
    (pausing,) = await shop.admin.fetchrow(
        "select not_before > created_at from recomputations where public_id = $1", left
    )
    assert pausing
    await shop.admin.execute(
        'update recomputations set scope = \'{"prices": ["price_basic"]}\', not_before = now() where public_id = $1',
        left,
    )
    while await recomputations.advance(shop.worker):
        pass
    found = await shop.seen(left)
    assert (found.state, found.problem) == ("done", None)


async def test_another_tenant_sees_no_recomputation(shop: Shop) -> None:
    left = await shop.put(2)
    assert left is not None
    async with tenant_session(shop.engine, shop.id + 1000) as session:
        assert await recomputations.list_page(session, None, 20) == []
        with pytest.raises(Exception, match="no such recomputation"):
            await recomputations.get(session, left)


async def _somebody(session: TenantSession) -> int:
    return (await customers.list_page(session, limit=1))[0].id


async def test_what_ends_by_the_clock_is_noted_once(shop: Shop) -> None:
    async with tenant_session(shop.engine, shop.id) as session:
        now = await session.scalar(select(func.clock_timestamp()).where(TENANT == TENANT))
        customer = await _somebody(session)
        soon = NewOverride("seats", "set", "A trial", "Grace", value=9, ends_at=now + timedelta(seconds=1))
        await overrides.add(session, customer, soon)
    before = await shop.history()
    await shop.admin.execute("delete from entitlement_clocks")
    await shop.admin.execute(
        "insert into entitlement_clocks (tenant_id, noted_until) values ($1, now() - interval '1 minute')", shop.id
    )
    await shop.admin.execute("select pg_sleep(1.1)")
    assert await clocks.tick(shop.worker) == 1
    assert (await shop.history())[len(before) :] == [("clock", False)]
    await shop.admin.execute("update entitlement_clocks set noted_until = now() - interval '1 minute'")
    assert await clocks.tick(shop.worker) == 1
    assert len(await shop.history()) == len(before) + 1
    assert await clocks.tick(shop.worker) == 0, "it is on time"


async def test_news_that_came_late_is_not_told_again_by_the_clock(shop: Shop) -> None:
    await shop.admin.execute("delete from entitlement_clocks")
    await shop.admin.execute(
        "insert into entitlement_clocks (tenant_id, noted_until) values ($1, '2020-01-01Z')", shop.id
    )
    async with tenant_session(shop.engine, shop.id) as session:
        await catalogue.put_policy(session, Policy(grace=0))
    before = await shop.history()
    await shop.put(3)  # ends the interval of the version before
    changes = len(await shop.history())
    assert changes > len(before)
    assert await clocks.tick(shop.worker) == 1
    assert len(await shop.history()) == changes

"""Accounts take turns: one tenant's import does not hold up another's events."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from colonnade.database.connections import connect, create_pool
from colonnade.database.roles import Duty
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks import inbox, worker
from colonnade.webhooks.dispatch import Dispatcher
from colonnade.webhooks.envelope import decode
from colonnade.webhooks.extensions import Extensions
from colonnade.webhooks.swept import row
from colonnade.webhooks.writer import INSERT
from colonnade_tenants.handlers import HANDLERS
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import SETTINGS, Admin, admin, event
from tests.tenants import payloads


def changes(account: str, subscription: int, **fields: Any) -> dict[str, Any]:
    thing = payloads.subscription(
        id=f"sub_{account}_{subscription}",
        customer=f"cus_{account}_{subscription}",
        on_behalf_of=account,
        transfer_data={"destination": account},
    )
    return event("customer.subscription.updated", thing, {}, created=payloads.START, **fields)


async def store(db: Admin, events: list[dict[str, Any]]) -> None:
    rows = [row(each, "") for each in events]
    await db.connection.execute(INSERT, *map(list, zip(*rows, strict=True)))


async def claimed(database: ScratchDatabase, limit: int, after: str = "") -> list[inbox.Claimed]:
    """What a worker would get; given back at once."""
    connection = await connect(database.service_url, Duty.WORKER)
    transaction = connection.transaction()
    await transaction.start()
    try:
        return await inbox.claim(connection, limit, after)
    finally:
        await transaction.rollback()
        await connection.close()


async def test_a_batch_has_events_of_every_account_however_long_ones_backlog(database: ScratchDatabase) -> None:
    async with admin(database) as db:
        await store(db, [changes("acct_a", number) for number in range(300)])
        await store(db, [changes("acct_b", number) for number in range(3)])
    lanes = [each.lane for each in await claimed(database, 40)]
    assert (lanes.count("acct_a"), lanes.count("acct_b")) == (20, 3)


async def test_a_tenant_of_more_weight_gets_more_of_a_turn(database: ScratchDatabase) -> None:
    async with admin(database) as db:
        await db.tenant("acct_a")
        await db.connection.execute("update tenants set event_weight = 3")
        for account in ("acct_a", "acct_b"):
            await store(db, [changes(account, number) for number in range(100)])
    lanes = [each.lane for each in await claimed(database, 40)]
    assert (lanes.count("acct_a"), lanes.count("acct_b")) == (30, 10)


async def test_after_an_account_had_its_turn_comes_the_next(database: ScratchDatabase) -> None:
    accounts = [f"acct_{number:02}" for number in range(25)]
    async with admin(database) as db:
        await store(db, [changes(account, number) for account in accounts for number in range(5)])
    seen: list[str] = []
    last = ""
    while batch := await claimed(database, 20, last):
        seen += sorted({each.lane for each in batch})
        last = seen[-1]
    assert seen == accounts


async def test_a_run_of_one_object_is_claimed_in_its_order_up_to_what_is_not_due(database: ScratchDatabase) -> None:
    async with admin(database) as db:
        for number in range(6):
            await store(db, [changes("acct_a", 1, id=f"evt_run_{number}")])
        later = "update inbox set not_before = now() + interval '1 hour' where event_id = 'evt_run_4'"
        await db.connection.execute(later)
    assert [each.event_id for each in await claimed(database, 40)] == [f"evt_run_{number}" for number in range(4)]


async def test_a_claim_costs_the_same_with_a_large_backlog(database: ScratchDatabase) -> None:
    """It reads index entries of the accounts and of a window, never the backlog."""
    async with admin(database) as db:
        await store(db, [changes("acct_a", number) for number in range(500)])
        await db.connection.execute(
            "insert into inbox (event_id, endpoint, type, object_id, created, livemode, body, lane)"
            " select 'evt_' || n, endpoint, type, 'sub_' || n, created, livemode, '', 'acct_' || n % 100"
            " from inbox, generate_series(1, 100) n where inbox.event_id = (select min(event_id) from inbox)"
        )
        await db.connection.execute(
            "insert into inbox (event_id, endpoint, type, object_id, created, livemode, body, lane) select"
            " 'evt_x' || n, 'platform', 't', 'sub_x' || n, now(), false, '', 'acct_a' from generate_series(1, 30000) n"
        )
        await db.connection.execute("vacuum analyze inbox")
        plan = json.loads(
            await db.connection.fetchval(f"explain (analyze, format json, buffers) {inbox._CLAIM}", 100, "")
        )
    assert "Seq Scan" not in [
        node["Node Type"] for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") == "inbox"
    ]
    read = max(node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan[0]["Plan"]))
    assert read < 3000, "of 30,600 that wait"


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(found for child in plan.get("Plans", ()) for found in nodes(child))]


async def test_an_import_of_one_tenant_does_not_hold_up_anothers_events(database: ScratchDatabase) -> None:
    """Whatever it takes: a batch that begins after they came has them all."""
    gateway = StripeGateway(SETTINGS)
    async with admin(database) as db, await create_pool(database.service_url, Duty.WORKER, size=1) as pool:
        for account in ("acct_a", "acct_b"):
            await db.tenant(account)
        await store(db, [changes("acct_a", number) for number in range(900)])
        dispatcher = Dispatcher(gateway, HANDLERS, Extensions(gateway))
        for number in range(0, 15, 5):
            await store(db, [changes("acct_b", each) for each in range(number, number + 5)])
            await dispatcher.batch(pool)
            left = dict(
                await db.connection.fetch("select lane, count(*) from inbox where state = 'pending' group by 1")
            )
            assert left.get("acct_b", 0) == 0
            assert left["acct_a"] > 0, "the import was over before the other tenant's events were"
    await gateway.close()


async def test_the_tasks_of_a_worker_take_different_accounts(database: ScratchDatabase) -> None:
    gateway = StripeGateway(SETTINGS)
    async with admin(database) as db, await create_pool(database.service_url, Duty.WORKER, size=3) as pool:
        for number in range(3 * inbox.LANES):
            await db.tenant(f"acct_{number}")
            await store(db, [changes(f"acct_{number}", 1)])
        dispatcher = Dispatcher(gateway, HANDLERS, Extensions(gateway))
        assert await asyncio.gather(*(dispatcher.batch(pool) for _ in range(3))) == [inbox.LANES] * 3
    await gateway.close()


async def test_a_task_that_found_nothing_looks_again_after_anothers_full_batch(
    database: ScratchDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that waited was in the other's hands; what waited behind it may be either's."""
    monkeypatch.setattr(worker, "POLL", 600)
    gateway = StripeGateway(SETTINGS)
    looks: Counter[object] = Counter()
    async with admin(database) as db:
        await db.tenant("acct_a")
        for _ in range(3 * inbox.RUN):
            await store(db, [changes("acct_a", number) for number in range(worker.FULL // inbox.RUN + 1)])
        working = worker.Worker(database.service_url, gateway, data_dir=tmp_path)
        claim = working._dispatcher._claim

        async def counted(connection: asyncpg.Connection) -> list[inbox.Claimed]:
            looks[asyncio.current_task()] += 1
            return await claim(connection)

        monkeypatch.setattr(working._dispatcher, "_claim", counted)
        running = asyncio.create_task(working.run())
        async with asyncio.timeout(60):
            while await db.connection.fetchval("select exists (select from inbox where state = 'pending')"):
                await asyncio.sleep(0.02)
        working.stop()
        await running
    assert len(looks) == 2
    assert min(looks.values()) > 1
    await gateway.close()


def test_the_lane_is_the_account_that_the_event_itself_names() -> None:
    def lane(**fields: Any) -> str:
        thing = fields.pop("thing", {"id": "sub_1"})
        return decode(json.dumps(event(thing=thing, **fields)).encode()).lane

    assert lane(account="acct_1", thing={"id": "x", "on_behalf_of": "acct_2"}) == "acct_1"
    assert lane(thing={"id": "x", "on_behalf_of": "acct_2", "transfer_data": {"destination": "acct_3"}}) == "acct_2"
    assert lane(thing={"id": "x", "transfer_data": {"destination": "acct_3"}}) == "acct_3"
    odd: Any
    for odd in (None, 7, {}, "", "acct_", "acct_\u0000", "cus_1"):
        assert lane(thing={"id": "x", "on_behalf_of": odd, "transfer_data": odd}) == "-"


async def test_plans_that_a_worker_makes_on_an_empty_inbox_do_not_read_all_of_a_full_one(
    database: ScratchDatabase,
) -> None:
    """Prepared once, they are kept: with the planner's own choice each claim would read the whole inbox later."""
    connection = await connect(database.service_url, Duty.WORKER)
    for statement, arguments in ((inbox._CLAIM, 2), (inbox._SETTLE, 10), (inbox._HOLD, 1)):
        await connection.execute(f"prepare looked_at as {statement}")
        rows = await connection.fetch(f"explain execute looked_at ({', '.join(['null'] * arguments)})")
        await connection.execute("deallocate looked_at")
        plan = "\n".join(row[0] for row in rows)
        assert "Seq Scan on inbox" not in plan
        assert "Bitmap Heap Scan on inbox" not in plan, "it would read all that waits before it gives the first row"
    await connection.close()

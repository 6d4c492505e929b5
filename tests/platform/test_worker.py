"""Stored events become effects of their tenant, once, whatever fails on the way."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert
from structlog.testing import capture_logs

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty, UnsafeLogin
from colonnade.errors import StripeUnavailable
from colonnade.heartbeat import age
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks import dispatch, retries, runs
from colonnade.webhooks.envelope import decode
from colonnade.webhooks.worker import Worker
from colonnade.webhooks.writer import CHANNEL, InboxWriter, Received
from colonnade_tenants.events import Event
from colonnade_tenants.handlers import HANDLERS, Handler
from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.stripe import TenantStripe
from colonnade_tenants.tables import features
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import SETTINGS, Admin, admin, event
from tests.tenants import payloads

_INSERT = Statement(
    insert(features).values(tenant_id=TENANT, key=bindparam("key"), kind="flag", name=bindparam("name"))
)
_FEATURES = Statement(select(features.c.key).where(features.c.tenant_id == TENANT))


async def note(given: Event, tenant: TenantConnection, _stripe: TenantStripe) -> None:
    """An effect that shows when it happens twice: a row whose key is the event's id."""
    await tenant.execute(_INSERT, key=given.id, name=given.type)


@pytest.fixture
async def db(shared_database: ScratchDatabase) -> AsyncIterator[Admin]:
    async with admin(shared_database) as db:
        await db.clear()
        await db.connection.execute("delete from features")
        yield db


Store = Callable[..., Awaitable[None]]


@pytest.fixture
async def store(shared_database: ScratchDatabase) -> AsyncIterator[Store]:
    """Puts events into the inbox the way that receiving does."""
    pool = await create_pool(shared_database.service_url, Duty.INGEST, size=2)
    async with InboxWriter(pool) as writer:

        async def put(*events: Mapping[str, Any] | bytes) -> None:
            for sent in events:
                body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
                found = decode(body)
                await writer.store(Received(*found, "connect" if found.account else "platform", body))

        yield put
    await pool.close()


@asynccontextmanager
async def working(
    database: ScratchDatabase, data_dir: Path, handlers: Mapping[str, Handler] = HANDLERS, *, workers: int = 1
) -> AsyncIterator[None]:
    """While the block runs, so do *workers*, each with two tasks."""
    gateway = StripeGateway(SETTINGS)
    all_workers = [Worker(database.service_url, gateway, data_dir=data_dir, handlers=handlers) for _ in range(workers)]
    running = [asyncio.create_task(worker.run()) for worker in all_workers]
    try:
        yield
    finally:
        for worker in all_workers:
            worker.stop()
        await asyncio.gather(*running)
        await gateway.close()


def on_behalf_of(account: str, thing: str = "sub_1", **fields: Any) -> dict[str, Any]:
    return event(thing={"id": thing, "on_behalf_of": account}, **fields)


async def effects(db: Admin) -> dict[str, int]:
    """The tenant of each effect of `note`."""
    return {row["key"]: row["tenant_id"] for row in await db.connection.fetch("select key, tenant_id from features")}


async def test_each_event_acts_in_its_own_tenant_within_one_batch(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    tenants = [await db.tenant(f"acct_{number}") for number in range(5)]
    sent = [on_behalf_of(f"acct_{number % 5}", f"sub_{number}") for number in range(60)]
    await store(*sent)
    async with working(shared_database, tmp_path, {"customer.subscription.updated": note}):
        rows = await db.settled(*(each["id"] for each in sent))
    assert {(row["state"], row["rung"], row["reason"]) for row in rows} == {("done", "on_behalf_of", None)}
    expected = {each["id"]: tenants[number % 5] for number, each in enumerate(sent)}
    assert {row["event_id"]: row["tenant_id"] for row in rows} == expected
    assert await effects(db) == expected
    assert all(row["done_at"] >= row["received_at"] for row in rows)


async def test_a_handler_sees_its_own_tenant_alone(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    seen: dict[str, set[str]] = {}

    async def look(given: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
        await note(given, tenant, stripe)
        seen[given.id] = {row["key"] for row in await tenant.fetch(_FEATURES)}

    await db.tenant("acct_1")
    await db.tenant("acct_2")
    first, second = on_behalf_of("acct_1", "sub_1"), on_behalf_of("acct_2", "sub_2")
    await store(first, second)
    async with working(shared_database, tmp_path, {"customer.subscription.updated": look}):
        await db.settled(first["id"], second["id"])
    assert seen == {first["id"]: {first["id"]}, second["id"]: {second["id"]}}


async def test_an_object_that_was_seen_once_attributes_what_says_less(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    tenant = await db.tenant("acct_1")
    full = event(thing={"id": "sub_1", "on_behalf_of": "acct_1", "customer": "cus_1"})
    less = [
        event("setup_intent.succeeded", {"id": "seti_1", "customer": "cus_1"}),
        event(thing={"id": "sub_1"}),
        event(thing={"id": "sub_2", "customer": {"id": "cus_1"}}),
    ]
    async with working(shared_database, tmp_path, {"customer.subscription.updated": note}):
        await store(full)
        await db.settled(full["id"])
        await store(*less)
        rows = await db.settled(*(each["id"] for each in less))
    assert [(row["tenant_id"], row["rung"], row["state"]) for row in rows] == [
        (tenant, "customer", "ignored"),
        (tenant, "subscription", "done"),
        (tenant, "customer", "done"),
    ]
    known = await db.connection.fetch("select id, tenant_id from stripe_objects order by id")
    assert [tuple(row) for row in known] == [(name, tenant) for name in ("cus_1", "sub_1", "sub_2")]


async def test_what_named_the_tenant_is_kept_with_the_event(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    await db.own(await db.tenant("acct_1"), "cus_1")
    await db.tenant("acct_2")
    one = event(thing={"id": "sub_1", "on_behalf_of": "acct_1"})
    two = event(thing={"id": "sub_2", "on_behalf_of": "acct_2", "customer": "cus_1"})
    await store(one, two)
    async with working(shared_database, tmp_path, {"customer.subscription.updated": note}):
        rows = await db.settled(one["id"], two["id"])
    assert [json.loads(row["evidence"]) for row in rows] == [
        [
            {"rung": "on_behalf_of", "key": "acct_1", "tenant": "ten_acct_1"},
            {"rung": "subscription", "key": "sub_1", "tenant": None},
        ],
        [
            {"rung": "on_behalf_of", "key": "acct_2", "tenant": "ten_acct_2"},
            {"rung": "subscription", "key": "sub_2", "tenant": None},
            {"rung": "customer", "key": "cus_1", "tenant": "ten_acct_1"},
        ],
    ]


async def test_a_product_is_the_tenants_whose_plans_alone_sell_it_and_else_nobodys(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    first, second = await db.tenant("acct_1"), await db.tenant("acct_2")
    await db.connection.executemany(
        "insert into plan_objects (id, tenant_id) values ($1, $2)",
        [("prod_1", first), ("prod_2", first), ("prod_2", second)],
    )
    sent = [event("product.updated", {"id": f"prod_{number}", "object": "product"}) for number in (1, 2, 3)]
    sent.append(event("price.updated", {"id": "price_1", "object": "price", "product": "prod_1"}))
    await store(*sent)
    async with working(shared_database, tmp_path):
        rows = await db.settled(*(each["id"] for each in sent))
    assert [(row["state"], row["tenant_id"], row["rung"]) for row in rows] == [
        ("done", first, "catalogue"),
        ("ignored", None, None),
        ("ignored", None, None),
        ("done", first, "catalogue"),
    ]


async def test_ids_that_a_connected_account_chose_are_no_objects_elsewhere(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    victim, other = await db.tenant("acct_1"), await db.tenant("acct_2", "direct")
    chosen = event("product.updated", {"id": "sub_1", "object": "product"}, account="acct_2")
    copied = event(thing={"id": "sub_1", "object": "subscription"}, account="acct_2")
    genuine = event(thing={"id": "sub_1", "object": "subscription", "on_behalf_of": "acct_1"})
    await store(chosen, copied, genuine)
    assert {row["object_id"] for row in await db.inbox()} == {"acct_2/sub_1", "sub_1"}
    async with working(shared_database, tmp_path, dict.fromkeys(HANDLERS, note)):
        rows = await db.settled(chosen["id"], copied["id"], genuine["id"])
    assert [(row["state"], row["tenant_id"]) for row in rows] == [("done", other), ("done", other), ("done", victim)]
    known = await db.connection.fetch("select id, tenant_id from stripe_objects order by id")
    assert [tuple(row) for row in known] == [("acct_2/sub_1", other), ("sub_1", victim)]


async def test_types_without_handler_are_ignored_with_the_reason(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    tenant = await db.tenant("acct_1")
    ours, nobodys = (
        event("invoice.upcoming", {"object": "invoice", "on_behalf_of": "acct_1"}),
        event("radar.early_fraud_warning.created", {"id": "issfr_1"}),
    )
    await store(ours, nobodys)
    async with working(shared_database, tmp_path):
        rows = await db.settled(ours["id"], nobodys["id"])
    assert [(row["state"], row["tenant_id"], row["reason"]) for row in rows] == [
        ("ignored", tenant, "no handler"),
        ("ignored", None, "no handler; nothing in the event names a tenant"),
    ]


async def test_events_that_name_two_tenants_or_a_stranger_are_quarantined(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    await db.own(await db.tenant("acct_1"), "cus_1")
    await db.tenant("acct_2")
    two = event(thing={"id": "sub_1", "on_behalf_of": "acct_2", "customer": "cus_1"})
    stranger = event("account.updated", {"id": "acct_x", "object": "account"}, account="acct_x")
    await store(two, stranger)
    async with working(shared_database, tmp_path, dict.fromkeys(HANDLERS, note)):
        rows = await db.settled(two["id"], stranger["id"])
    assert [(row["state"], row["tenant_id"], row["rung"]) for row in rows] == [("quarantined", None, None)] * 2
    assert "different tenants" in rows[0]["reason"]
    assert "acct_x" in rows[1]["reason"]
    assert await effects(db) == {}


async def test_an_event_waits_for_a_mapping_about_to_be_committed(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    tenant = await db.tenant("acct_1")
    early = event(thing={"id": "sub_1", "customer": "cus_late"})
    await store(early)
    async with working(shared_database, tmp_path, {"customer.subscription.updated": note}):
        await attempted(db, early["id"])
        await db.own(tenant, "cus_late")
        (row,) = await db.settled(early["id"])
    assert (row["state"], row["tenant_id"], row["rung"]) == ("done", tenant, "customer")


async def test_what_never_finds_its_tenant_is_quarantined(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "WAITS", 1)
    lost = event(thing={"id": "sub_1", "customer": "cus_unknown"})
    await store(lost)
    async with working(shared_database, tmp_path, {"customer.subscription.updated": note}):
        (row,) = await db.settled(lost["id"])
    assert (row["state"], row["reason"]) == ("quarantined", "nothing in the event names a tenant")


async def attempted(db: Admin, event_id: str, times: int = 1) -> dict[str, Any]:
    """The event's row, once it was tried that often."""
    async with asyncio.timeout(20):
        while (row := await db.row(event_id))["attempts"] < times:
            await asyncio.sleep(0.02)
    return row


async def test_a_failure_undoes_its_own_effects_alone_and_holds_up_its_object_alone(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    tenant = await db.tenant("acct_1")
    broken = {"id": ""}
    tried: list[str] = []

    async def fragile(given: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
        tried.append(given.id)
        await note(given, tenant, stripe)
        if given.id == broken["id"]:
            await tenant.execute(_INSERT, key=given.id, name="a second time")  # violates the primary key

    bad, behind, other = (
        on_behalf_of("acct_1", "sub_1"),
        on_behalf_of("acct_1", "sub_1"),
        on_behalf_of("acct_1", "sub_2"),
    )
    broken["id"] = bad["id"]
    await store(bad, behind, other)
    async with working(shared_database, tmp_path, {"customer.subscription.updated": fragile}):
        await db.settled(other["id"])
        row = await attempted(db, bad["id"])
        assert (row["state"], row["tenant_id"], row["rung"]) == ("pending", tenant, "on_behalf_of")
        assert row["reason"].startswith("UniqueViolationError: ")
        assert "Key (" not in row["reason"]
        assert row["not_before"] > row["received_at"]
        assert (await db.row(behind["id"]))["state"] == "pending"
        assert set(await effects(db)) == {other["id"]}
        broken["id"] = ""
        await db.settled(bad["id"], behind["id"])
    assert tried.index(behind["id"]) > max(place for place, name in enumerate(tried) if name == bad["id"])
    assert set(await effects(db)) == {bad["id"], behind["id"], other["id"]}


async def test_an_event_that_keeps_failing_is_dead_and_lets_the_next_of_its_object_through(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await db.tenant("acct_1")
    monkeypatch.setattr(runs, "ATTEMPTS", 3)
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.05)
    bad, behind = on_behalf_of("acct_1"), on_behalf_of("acct_1")

    async def fails(given: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
        if given.id == bad["id"]:
            raise ValueError("no luck with sk_test_abcdef")
        await note(given, tenant, stripe)

    await store(bad, behind)
    async with working(shared_database, tmp_path, {"customer.subscription.updated": fails}):
        dead, done = await db.settled(bad["id"], behind["id"])
    assert (dead["state"], dead["reason"], dead["attempts"]) == ("dead", "ValueError: no luck with sk_test_…", 3)
    assert done["state"] == "done"


async def test_an_outage_of_stripe_uses_up_none_of_an_events_tries(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await db.tenant("acct_1")
    monkeypatch.setattr(runs, "ATTEMPTS", 2)
    monkeypatch.setattr(retries, "LONGEST_OUTAGE_PAUSE", 0.05)
    asked = 0

    async def reads(given: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
        nonlocal asked
        asked += 1
        if asked < 5:
            raise StripeUnavailable("Stripe cannot be asked right now; try again.", retry_after=0)
        await note(given, tenant, stripe)

    sent = on_behalf_of("acct_1")
    await store(sent)
    async with working(shared_database, tmp_path, {"customer.subscription.updated": reads}):
        (row,) = await db.settled(sent["id"])
    assert (row["state"], row["attempts"], asked) == ("done", 0, 5)


def test_while_stripe_is_down_an_event_waits_as_long_as_advised_and_longer_the_older_it_is() -> None:
    def ago(seconds: float) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=seconds)

    for _ in range(50):
        assert 5 <= retries.outage_pause(5, ago(0)) <= 7.5
        assert 25 <= retries.outage_pause(5, ago(100)) <= 38
        assert 60 <= retries.outage_pause(5, ago(1e6)) <= 90
        assert 70 <= retries.outage_pause(70, ago(1e6)) <= 105


async def test_a_payload_of_an_unknown_shape_is_dead_at_once_with_its_path(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    await db.tenant("acct_1")
    shapeless = on_behalf_of("acct_1", "sub_1")
    odd = json.dumps(event(thing={"id": "sub_2"}, previous={})).replace(
        '"previous_attributes": {}', '"previous_attributes": 5'
    )
    odd_id = json.loads(odd)["id"]
    await store(shapeless, odd.encode())
    async with working(shared_database, tmp_path):
        rows = await db.settled(shapeless["id"], odd_id)
    assert [row["state"] for row in rows] == ["dead", "dead"]
    assert "missing required field" in rows[0]["reason"]
    assert "$.data.previous_attributes" in rows[1]["reason"]


@pytest.mark.parametrize("disconnected", [True, False])
async def test_events_of_a_disconnected_account_are_held_and_nothing_is_asked_of_it(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path, disconnected: bool
) -> None:
    await db.tenant("acct_1", "direct")
    asked: list[str] = []

    async def asks(_given: Event, _tenant: TenantConnection, stripe: TenantStripe) -> None:
        try:
            await stripe.get("/v1/subscriptions/sub_1")
        except Exception as error:
            asked.append(type(error).__name__)

    handlers = {**HANDLERS, "customer.subscription.updated": asks}
    if disconnected:
        gone = event("account.application.deauthorized", {"id": "ca_1"}, account="acct_1")
        await store(gone)
    sent = event(thing={"id": "sub_1"}, account="acct_1")
    async with working(shared_database, tmp_path, handlers):
        if disconnected:
            await db.settled(gone["id"])
        await store(sent)
        (row,) = await db.settled(sent["id"], within=60)
    assert row["state"] == ("held" if disconnected else "done")
    assert asked == ([] if disconnected else ["StripeUnavailable"])


def subscription_events(number: int, histories: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The events of one subscription's history, a second apart."""
    base = payloads.subscription(
        id=f"sub_{number}", customer=f"cus_{number % 4}", on_behalf_of=None, transfer_data=None
    )
    base = {**base, "on_behalf_of": f"acct_{number % 2}"}
    found, now = [], base
    for second, (kind, change) in enumerate(histories):
        new = now | change
        previous = {key: now[key] for key in change} if kind == "updated" else None
        created = payloads.START + second
        found.append(event(f"customer.subscription.{kind}", new, previous, created=created))
        now = new
    return found


HISTORY: list[tuple[str, dict[str, Any]]] = [
    ("created", {}),
    ("updated", {"cancel_at": payloads.PERIOD_END}),
    ("updated", {"cancel_at": None}),
    ("updated", {"status": "past_due"}),
    ("updated", {"status": "active"}),
    ("deleted", {"status": "canceled", "ended_at": payloads.START + 9}),
]


async def mirrored(db: Admin) -> dict[str, tuple[str, int]]:
    rows = await db.connection.fetch("select id, status, tenant_id from subscriptions order by id")
    return {row["id"]: (row["status"], row["tenant_id"]) for row in rows}


async def test_reordered_and_repeated_events_end_in_the_last_state_with_two_workers_at_once(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    tenants = [await db.tenant("acct_0"), await db.tenant("acct_1")]
    sent: list[dict[str, Any]] = []
    for number in range(24):
        events = subscription_events(number, HISTORY if number % 3 else HISTORY[:3])
        sent += events[::-1] if number % 2 else events
    random.Random(7).shuffle(sent)
    async with working(shared_database, tmp_path, workers=2):
        await store(*sent, *sent)
        rows = await db.settled(*(each["id"] for each in sent), within=60)
    assert {(row["state"], row["attempts"]) for row in rows} == {("done", 0)}
    assert len(await db.inbox()) == len(sent)
    assert await mirrored(db) == {
        f"sub_{number}": ("canceled" if number % 3 else "active", tenants[number % 2]) for number in range(24)
    }


async def test_work_on_one_object_is_serial_even_for_an_older_event_that_comes_late(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    await db.own(await db.tenant("acct_1"), "sub_1")
    inside: list[str] = []
    most = 0

    async def slow(given: Event, _tenant: TenantConnection, _stripe: TenantStripe) -> None:
        nonlocal most
        inside.append(given.id)
        most = max(most, len(inside))
        await asyncio.sleep(1.5)  # longer than a worker goes without a look
        inside.remove(given.id)

    older, newer = on_behalf_of("acct_1"), on_behalf_of("acct_1")
    await store(older, newer)
    await db.connection.execute("update inbox set state = 'dead' where event_id = $1", older["id"])
    async with working(shared_database, tmp_path, {"customer.subscription.updated": slow}, workers=3):
        while not inside:
            await asyncio.sleep(0.01)
        await db.connection.execute("update inbox set state = 'pending' where event_id = $1", older["id"])
        await db.connection.execute("notify colonnade_inbox")
        await db.settled(older["id"], newer["id"])
    assert most == 1


async def test_the_worker_goes_on_after_its_connections_were_cut(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    await db.tenant("acct_1")
    sent = [on_behalf_of("acct_1", f"sub_{number}") for number in range(3)]
    own = "from pg_stat_activity where datname = current_database() and application_name = 'colonnade worker'"
    async with working(shared_database, tmp_path, {"customer.subscription.updated": note}):
        await store(sent[0])
        await db.settled(sent[0]["id"])
        for each in sent[1:]:
            async with asyncio.timeout(20):  # it listens on one, and works on another
                while await db.connection.fetchval(f"select count(*) {own}") < 2:
                    await asyncio.sleep(0.02)
            await db.connection.execute(f"select pg_terminate_backend(pid) {own}")
            await store(each)
            await db.settled(each["id"])
    assert set(await effects(db)) == {each["id"] for each in sent}


async def test_a_notification_wakes_the_worker_before_it_looks_by_itself(
    db: Admin, store: Store, shared_database: ScratchDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colonnade.webhooks.worker.POLL", 60)
    await db.tenant("acct_1")
    async with working(shared_database, tmp_path, {"customer.subscription.updated": note}):
        listening = "select count(*) from pg_stat_activity where query ilike 'listen%' and datname = current_database()"
        async with asyncio.timeout(10):
            while not await db.connection.fetchval(listening):
                await asyncio.sleep(0.02)
        for number in range(3):
            sent = on_behalf_of("acct_1", f"sub_{number}")
            await store(sent)
            await db.settled(sent["id"], within=5)


async def test_a_worker_that_cannot_listen_says_so_and_tries_again(
    db: Admin, shared_database: ScratchDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("colonnade.webhooks.worker.POLL", 0.05)
    monkeypatch.setattr("colonnade.webhooks.worker.CHANNEL", None)  # nothing that the driver expects
    listening = "select count(*) from pg_stat_activity where query ilike 'listen%' and datname = current_database()"
    with capture_logs() as logs:
        async with working(shared_database, tmp_path):
            async with asyncio.timeout(20):
                while not [line for line in logs if line["event"] == "not listening"]:
                    await asyncio.sleep(0.02)
            monkeypatch.setattr("colonnade.webhooks.worker.CHANNEL", CHANNEL)
            async with asyncio.timeout(20):
                while not await db.connection.fetchval(listening):
                    await asyncio.sleep(0.02)
    assert {line["log_level"] for line in logs if line["event"] == "not listening"} == {"error"}


async def test_a_login_that_could_bypass_row_level_security_is_refused(
    shared_database: ScratchDatabase, tmp_path: Path
) -> None:
    gateway = StripeGateway(SETTINGS)
    with pytest.raises(UnsafeLogin):
        await Worker(shared_database.admin_url, gateway, data_dir=tmp_path).run()
    await gateway.close()


async def test_every_round_is_a_heartbeat(db: Admin, shared_database: ScratchDatabase, tmp_path: Path) -> None:
    assert age(tmp_path) is None
    async with working(shared_database, tmp_path):
        async with asyncio.timeout(10):
            while age(tmp_path) is None:
                await asyncio.sleep(0.02)


def test_pauses_double_up_to_an_hour_and_are_spread() -> None:
    for attempts in range(1, 40):
        longest = min(2.0**attempts, 3600)
        found = {retries.pause(attempts) for _ in range(50)}
        assert min(found) >= longest / 2
        assert max(found) <= longest
        assert len(found) > 10

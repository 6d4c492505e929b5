"""Events of one tenant are read and written together, and still fail one by one."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.dispatch import Dispatcher
from colonnade.webhooks.extensions import Extensions
from colonnade_tenants import customers
from colonnade_tenants.events import Event
from colonnade_tenants.handlers import HANDLERS, Handler
from colonnade_tenants.handlers.subscriptions import subscription_changed
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import SETTINGS, Admin, admin, event
from tests.tenants import billing, payloads

TYPE = "customer.subscription.updated"
EFFECTS = ("customers", "subscriptions", "subscription_items", "entitlements", "entitlement_changes", "billing_details")


class Desk:
    """Stores events, and works them off in this process."""

    def __init__(self, db: Admin, pool: asyncpg.Pool) -> None:
        self.db = db
        self._pool = pool
        self._gateway = StripeGateway(SETTINGS)

    async def put(self, *events: dict[str, Any]) -> None:
        for sent in events:
            await self.db.connection.execute(
                "insert into inbox (event_id, endpoint, type, object_id, created, livemode, body)"
                " values ($1, 'platform', $2, $3, to_timestamp($5), false, $4)",
                sent["id"],
                sent["type"],
                sent["data"]["object"]["id"],
                json.dumps(sent).encode(),
                sent["created"],
            )

    async def work(self, handler: Handler = subscription_changed) -> dict[str, tuple[str, str | None]]:
        """What became of the events, by id, after one batch."""
        handlers = {**HANDLERS, TYPE: handler}
        await Dispatcher(self._gateway, handlers, Extensions(self._gateway)).batch(self._pool)
        return {row["event_id"]: (row["state"], row["reason"]) for row in await self.db.inbox()}

    async def count(self, table: str, tenant: int | None = None) -> int:
        found: int = await self.db.connection.fetchval(
            f"select count(*) from {table} where $1::bigint is null or tenant_id = $1", tenant
        )
        return found


@pytest.fixture
async def desk(shared_database: ScratchDatabase) -> AsyncIterator[Desk]:
    pool = await create_pool(shared_database.service_url, Duty.WORKER, size=1)
    async with admin(shared_database) as db:
        await reset(db)
        yield Desk(db, pool)
    await pool.close()


async def reset(db: Admin) -> None:
    await db.clear()
    for table in reversed(("features", "plans", *EFFECTS)):
        await db.connection.execute(f"delete from {table}")


async def sell(db: Admin, tenant: int) -> None:
    for statement in (
        "insert into features (tenant_id, key, kind, name) values ($1, 'seats', 'quantity', 'Seats')",
        "insert into plans (tenant_id, key, name, price) values ($1, 'basic', 'Basic', 'price_basic')",
        "insert into plan_versions (tenant_id, plan, version, price, grants) values ($1, 'basic', 1, 'price_basic',"
        """ '[{"feature": "seats", "kind": "quantity", "value": 1, "per_unit": true}]')""",
    ):
        await db.connection.execute(statement, tenant)


def seats(number: int, quantity: int = 1, account: str = "acct_1", second: int = 0) -> dict[str, Any]:
    """A subscription of a customer of its own."""
    thing = payloads.subscription("active", payloads.item(str(number), quantity=quantity))
    own = {"id": f"sub_{number}", "customer": f"cus_{number}", "on_behalf_of": account, "transfer_data": None}
    return event(TYPE, thing | own, {}, created=payloads.START + second)


async def test_each_change_of_a_run_names_its_own_event(desk: Desk) -> None:
    await sell(desk.db, await desk.db.tenant("acct_1"))
    sent = [seats(number, quantity, second=quantity) for number in (1, 2) for quantity in (1, 2, 3)]
    await desk.put(*sent)
    await desk.work()
    rows = await desk.db.connection.fetch(
        "select cause, sequence, (after -> 0 ->> 'value')::int as value from entitlement_changes"
        " order by customer_id, sequence"
    )
    causes = {each["id"]: each["data"]["object"]["items"]["data"][0]["quantity"] for each in sent}
    assert {row["cause"]: row["value"] for row in rows} == causes
    assert [row["sequence"] for row in rows] == [1, 2, 3] * 2


async def fails_late(given: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """As the core's, and then it breaks, having written in memory only."""
    await subscription_changed(given, tenant, stripe)
    if b'"sub_2"' in bytes(given.object):
        raise ValueError("after all was done")


async def breaks_a_statement(given: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """The database refuses its last statement."""
    await subscription_changed(given, tenant, stripe)
    if b'"sub_2"' in bytes(given.object):
        await customers.by_stripe_id(tenant, "cus_\0")


@pytest.mark.parametrize("handler", [fails_late, breaks_a_statement])
async def test_what_fails_in_a_run_leaves_nothing_and_the_others_of_the_run_are_done(
    desk: Desk, handler: Handler
) -> None:
    await sell(desk.db, await desk.db.tenant("acct_1"))
    handler.reads = subscription_changed.reads  # type: ignore[attr-defined]
    sent = [seats(number) for number in (1, 2, 3)]
    await desk.put(*sent)
    states = await desk.work(handler)
    assert [states[each["id"]][0] for each in sent] == ["done", "pending", "done"]
    assert [await desk.count(table) for table in EFFECTS] == [2, 2, 2, 2, 2, 0]
    assert await desk.db.connection.fetchval("select count(*) from stripe_objects where id like '%_2'") == 0


async def test_text_that_the_database_refuses_fails_its_own_event_alone(desk: Desk) -> None:
    await desk.db.tenant("acct_1")
    bad = event(
        "customer.updated", billing.customer(id="cus_1", name="a\0b", metadata={"colonnade_tenant": "ten_acct_1"})
    )
    good = event("customer.updated", billing.customer(id="cus_2", metadata={"colonnade_tenant": "ten_acct_1"}))
    await desk.put(bad, good)
    states = await desk.work()
    assert [states[each["id"]][0] for each in (bad, good)] == ["pending", "done"]
    assert [await desk.count("billing_details"), await desk.count("customers")] == [1, 1]


async def test_one_tenants_events_are_not_in_anothers_memory(desk: Desk) -> None:
    """Both have a customer and a subscription of the same names; the second's must not be taken from the first's."""
    first, second = await desk.db.tenant("acct_1"), await desk.db.tenant("acct_2", "direct")
    await sell(desk.db, first)
    await sell(desk.db, second)
    theirs = seats(1, 5, account="acct_2") | {"account": "acct_2"}
    await desk.put(seats(1, 3))
    await desk.put(theirs)
    await desk.db.connection.execute(
        "update inbox set endpoint = 'connect', account = 'acct_2', object_id = 'acct_2/sub_1' where event_id = $1",
        theirs["id"],
    )
    await desk.work()
    rows = await desk.db.connection.fetch("select tenant_id, value from entitlements order by tenant_id")
    assert [tuple(row) for row in rows] == [(first, 3), (second, 5)]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.sampled_from(["ok", "raise", "direct"])), max_size=12
    )
)
async def test_a_run_ends_as_its_events_one_by_one_would(desk: Desk, steps: list[tuple[int, int, str]]) -> None:
    ways: dict[str, str] = {}

    async def some_fail(given: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
        way = ways[given.id]
        if way == "direct":
            await customers.adopt(tenant, "ecu_nobody", "cus_3")
        await subscription_changed(given, tenant, stripe)
        if way == "raise":
            raise ValueError("at the end")

    some_fail.reads = subscription_changed.reads  # type: ignore[attr-defined]
    ends = []
    for together in (True, False):
        await reset(desk.db)
        await sell(desk.db, await desk.db.tenant("acct_1"))
        # A failing event holds up its object, so those that fail have an object of their own.
        sent = [
            seats(number if way != "raise" else 10 + place, quantity, second=place)
            for place, (number, quantity, way) in enumerate(steps)
        ]
        ways |= {each["id"]: way for each, (_, _, way) in zip(sent, steps, strict=True)}
        if together:
            await desk.put(*sent)
            await desk.work(some_fail)
        else:
            for each in sent:
                await desk.put(each)
                await desk.work(some_fail)
        ends.append(await end(desk))
    assert ends[0] == ends[1]


async def end(desk: Desk) -> list[list[Any]]:
    """What is there, by Stripe's names."""
    queries = (
        "select stripe_customer from customers order by 1",
        "select id, source_created from subscriptions order by 1",
        "select subscription, quantity from subscription_items order by 1",
        "select stripe_customer, value from entitlements join customers on id = customer_id order by 1",
        "select stripe_customer, sequence, after -> 0 -> 'value' from entitlement_changes"
        " join customers on id = customer_id order by 1, 2",
        "select state, count(*) from inbox group by 1 order by 1",
    )
    return [[tuple(row) for row in await desk.db.connection.fetch(query)] for query in queries]

"""Workers and requests at the same moment: each fact is seen by whoever comes second, and none waits in a circle."""

import asyncio

import pytest

from colonnade_tenants import catalogue, customers, locks
from colonnade_tenants.handlers import subscription_changed
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import START, event, item, item_list, subscription


async def test_many_workers_at_once_end_where_one_would(mine: Tenant) -> None:
    await mine.sell(flag_export=True, quantity_seats=1)
    await mine.has_customer()
    bodies = [subscription("active", item(quantity=number)) for number in range(1, 13)]
    two = [body | {"id": "sub_2", "items": item_list(item("b", quantity=9))} for body in bodies]
    events = [event("updated", START + n, body, {}, f"one_{n}") for n, body in enumerate(bodies)]
    events += [event("updated", START + n, body, {}, f"two_{n}") for n, body in enumerate(two)]
    await asyncio.gather(*(mine.handle(one) for one in reversed(events)))
    assert await mine.granted() == {"flag_export": True, "quantity_seats": 12 + 9}
    await mine.check_history()


async def test_a_plan_change_and_an_event_of_a_subscriber_wait_for_each_other_in_one_order(mine: Tenant) -> None:
    await mine.sell(flag_export=True)
    await mine.has_customer()
    await mine.handle(event("created", START, subscription()))
    async with mine.session() as session:
        await locks.change_catalogue(await session.twin())
        late = event("updated", START + 1, subscription("active", item(quantity=2)), {})
        handling = asyncio.create_task(mine.handle(late))
        await asyncio.sleep(0.2)
        await catalogue.put_plan(session, catalogue.Plan("basic", "Basic", price="price_basic"))
    await handling
    assert await mine.granted() == {}
    await mine.check_history()


async def test_who_waits_for_a_customer_that_is_being_made_holds_up_no_other_customer(mine: Tenant) -> None:
    await mine.has_customer(stripe_customer="cus_b")

    async def both() -> None:
        async with mine.connection() as connection:
            await connection.load(customers.BY_STRIPE_ID, ["cus_a", "cus_b"])

    async with mine.connection() as maker:
        await maker.load(customers.BY_STRIPE_ID, ["cus_a"])
        waiting = asyncio.create_task(both())
        await asyncio.sleep(0.2)
        async with asyncio.timeout(10):  # a circle would fail at once: PostgreSQL ends one of the two
            await maker.load(customers.BY_STRIPE_ID, ["cus_b"])
    await waiting


@pytest.mark.parametrize("subscribed_first", [True, False])
async def test_a_plan_and_a_subscription_made_at_once_find_each_other(mine: Tenant, subscribed_first: bool) -> None:
    await mine.has_customer()
    async with mine.session() as session:
        await catalogue.put_feature(session, catalogue.Feature("export", "flag", "Export"))
    plan = catalogue.Plan("basic", "Basic", price="price_basic", grants=[catalogue.Grant("export", True)])

    async def subscribe() -> None:
        async with mine.connection() as connection:
            await subscription_changed(event("created", START, subscription()), connection, mine.stripe)
            await asyncio.sleep(0.2)

    async def sell() -> None:
        async with mine.session() as session:
            await catalogue.put_plan(session, plan)
            await asyncio.sleep(0.2)

    first, second = (subscribe, sell) if subscribed_first else (sell, subscribe)
    running = asyncio.create_task(first())
    await asyncio.sleep(0.1)
    await asyncio.gather(running, second())
    assert await mine.granted() == {"export": True}

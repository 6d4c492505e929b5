"""What handlers tell: in the transaction of the change, as it was then, in the order of the changes."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from colonnade_tenants.events import Event
from colonnade_tenants.notifications import Note, payloads, publishing, record, stream
from colonnade_tenants.notifications.payloads import Body, EntitlementChanges
from tests.tenants import payloads as stripe
from tests.tenants.conftest import Tenant


async def told(tenant: Tenant) -> list[Any]:
    rows = sorted(await tenant.rows("notifications"), key=lambda row: row["id"])
    return [msgspec.json.decode(row["payload"], type=Body) for row in rows]


def news(customer: int, cause: str = "evt_1") -> Note:
    return Note("entitlements.changed", EntitlementChanges(cause, []), customer)


async def subscribed(mine: Tenant) -> None:
    await mine.sell(flag_export=True, limit_projects=7)
    await mine.has_customer()
    await mine.handle(stripe.event("created", stripe.START, stripe.subscription()))


async def test_a_subscription_is_told_and_then_what_it_grants(mine: Tenant) -> None:
    await subscribed(mine)
    begun, granted = await told(mine)
    assert isinstance(begun, payloads.SubscriptionChanged)
    assert (begun.data.id, begun.data.status, begun.data.items[0].price) == ("sub_1", "active", "price_basic")
    assert isinstance(granted, payloads.EntitlementsChanged)
    assert {(change.feature, change.after[0].value) for change in granted.data.changes} == {
        ("flag_export", 1),
        ("limit_projects", 7),
    }
    assert [change.sequence for change in granted.data.changes] == [1, 2]
    assert begun.customer == granted.customer
    assert (begun.number, granted.number) == (1, 2)


async def test_what_changes_nothing_is_not_told(mine: Tenant) -> None:
    await subscribed(mine)
    await mine.handle(stripe.event("created", stripe.START, stripe.subscription()))
    await mine.handle(stripe.event("updated", stripe.START + 5, stripe.subscription()))
    assert len(await told(mine)) == 2


async def test_what_is_undone_is_not_told(mine: Tenant) -> None:
    await mine.has_customer()

    async def fail() -> None:
        async with mine.connection() as tenant:
            await record(tenant, [news(1)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await told(mine) == []
    assert await mine.rows("notification_counters") == []


def account(**fields: Any) -> dict[str, Any]:
    return {
        "id": "acct_1",
        "charges_enabled": True,
        "payouts_enabled": True,
        "details_submitted": True,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "requirements": {},
        **fields,
    }


def account_event(kind: str, created: int, thing: dict[str, Any]) -> Event:
    at = datetime.fromtimestamp(created, UTC)
    return Event(f"evt_{created}", kind, at, "acct_1", msgspec.Raw(msgspec.json.encode(thing)))


async def test_readiness_is_told_when_its_word_or_what_is_due_changes(mine: Tenant) -> None:
    due = {"currently_due": ["business_profile.url"]}
    await mine.handle(account_event("account.updated", 1000, account()))
    await mine.handle(account_event("account.updated", 1001, account(email="new@example.com")))
    await mine.handle(account_event("account.updated", 1002, account(requirements=due)))
    await mine.handle(account_event("account.application.deauthorized", 1003, {"id": "ca_1"}))
    found = await told(mine)
    assert [(body.data.previous_state, body.data.state) for body in found] == [
        (None, "ready"),
        ("ready", "restricted_soon"),
        ("restricted_soon", "disconnected"),
    ]
    assert found[1].data.requirements[0].words == "The website of the business"
    assert [body.number for body in found] == [1, 2, 3]
    assert found[0].customer is None


ALL = json.dumps([{"id": 1, "types": []}])


async def test_places_follow_commits_where_ids_do_not(mine: Tenant) -> None:
    """The reader who remembers a place misses nothing, though an older id is committed later."""
    await mine.has_customer()
    async with mine.connection() as late:
        await record(late, [news(901)])
        async with mine.connection() as early:
            await record(early, [news(902)])
        async with mine.connection() as tenant:
            assert (await publishing.publish(tenant, ALL))[0] == 1
            first = await stream.after(tenant, 0)
    async with mine.connection() as tenant:
        await publishing.publish(tenant, ALL)
        rest = await stream.after(tenant, first[-1].position)
    assert [item.position for item in (*first, *rest)] == [1, 2]
    rows = {row["position"]: row for row in await mine.rows("notifications")}
    assert rows[1]["id"] > rows[2]["id"]


async def test_publishing_at_once_gives_each_place_once(mine: Tenant) -> None:
    await mine.has_customer()
    async with mine.connection() as tenant:
        await record(tenant, [news(customer) for customer in range(900, 1000)] * 8)

    async def publish() -> int:
        async with mine.connection() as tenant:
            return (await publishing.publish(tenant, ALL))[0]

    counts = await asyncio.gather(publish(), publish(), publish())
    assert sorted(counts) == [0, 300, 500]
    rows = sorted(await mine.rows("notifications"), key=lambda row: row["position"])
    assert [row["position"] for row in rows] == list(range(1, 801))
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert len(await mine.rows("notification_deliveries")) == 800


async def test_what_is_older_than_a_month_is_removed_in_time_and_numbers_go_on(mine: Tenant) -> None:
    for _ in range(2):
        async with mine.connection() as tenant:
            await record(tenant, [news(901)])
            await publishing.publish(tenant, ALL)
    async with mine.app.acquire() as connection, connection.transaction():
        await connection.execute("select set_config('colonnade.tenant', $1, true)", str(mine.id))
        await connection.execute("update notifications set created_at = now() - interval '31 days'")
    async with mine.connection() as tenant:
        await record(tenant, [news(901)])
        await publishing.publish(tenant, ALL)
        assert [item.position for item in await stream.after(tenant, 0)] == [3]
        assert await stream.oldest(tenant) == 3
    assert [body.number for body in await told(mine)] == [3]
    assert len(await mine.rows("notification_deliveries")) == 1

"""Changes of plans, features and policy hold from a moment, and never rewrite what was before it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from colonnade_tenants import catalogue
from colonnade_tenants.catalogue import Feature, Grant, Plan, Policy, affected
from colonnade_tenants.errors import Conflict, Invalid
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import PERIOD_END, START, changed, event, item, moment, subscription

SOON = datetime.now(UTC) + timedelta(days=3)
PAST = datetime(2024, 1, 1, tzinfo=UTC)


def basic(seats: int, **changes: Any) -> Plan:
    grants = [Grant("quantity_seats", seats, per_unit=True)]
    return Plan(**({"key": "basic", "name": "Basic", "price": "price_basic", "grants": grants} | changes))


async def with_seats(tenant: Tenant, seats: int = 1) -> int:
    await tenant.sell(quantity_seats=seats)
    customer = await tenant.has_customer()
    await tenant.handle(event("created", START, subscription("active", item(quantity=2))))
    return customer.id


async def timeline(tenant: Tenant, feature: str = "quantity_seats") -> list[tuple[Any, ...]]:
    rows = sorted(await tenant.rows("entitlements"), key=lambda row: row["valid_from"])
    return [(row["value"], row["valid_from"], row["valid_until"]) for row in rows if row["feature"] == feature]


async def test_a_later_version_waits_for_its_moment(mine: Tenant) -> None:
    await with_seats(mine)
    async with mine.session() as session:
        assert (await catalogue.put_plan(session, basic(5), effective_from=SOON)).version == 2
    assert await timeline(mine) == [(2, moment(START), SOON), (10, SOON, None)]
    assert await mine.granted() == {"quantity_seats": 2}
    async with mine.session() as session:  # before that, another word on the same time
        assert (await catalogue.put_plan(session, basic(7))).version == 3
    (_, _, until), (now, since, end) = await timeline(mine)
    assert (now, until, end) == (14, since, None)
    await mine.check_history()


async def test_the_past_is_not_rewritten(mine: Tenant) -> None:
    await with_seats(mine)
    for changes in ({"effective_from": PAST}, {"effective_from": datetime.now(UTC) - timedelta(seconds=1)}):
        with pytest.raises(Invalid) as caught:
            async with mine.session() as session:
                await catalogue.put_plan(session, basic(9), **changes)
        assert caught.value.param == "effective_from"
    with pytest.raises(Invalid) as caught:
        async with mine.session() as session:
            await catalogue.put_policy(session, Policy(3, effective_from=PAST))
    assert caught.value.param == "effective_from"
    async with mine.session() as session:
        await catalogue.delete_plan(session, "basic")
    ((seats, since, until),) = await timeline(mine)
    assert (seats, since) == (2, moment(START))
    assert until is not None
    assert await mine.granted() == {}


async def test_a_plan_holds_from_when_it_was_put_for_who_had_the_price_before(mine: Tenant) -> None:
    await mine.has_customer()
    await mine.handle(event("created", START, subscription("active", item(quantity=2))))
    async with mine.session() as session:
        await catalogue.put_feature(session, Feature("quantity_seats", "quantity", "Seats"))
        await catalogue.put_plan(session, basic(3))
    ((seats, since, until),) = await timeline(mine)
    assert (seats, until) == (6, None)
    assert since > moment(START)


async def test_putting_the_same_again_makes_no_version(mine: Tenant) -> None:
    await with_seats(mine, 3)
    async with mine.session() as session:
        for name in ("Basic", "Renamed"):
            done = await catalogue.put_plan(session, basic(3, name=name))
            assert (done.version, done.created, done.rest) == (1, False, None)
        assert (await catalogue.get_plan(session, "basic")).name == "Renamed"
        assert len(await catalogue.list_plan_versions(session, "basic")) == 1
        first = await catalogue.put_policy(session, Policy(3))
        assert (await catalogue.put_policy(session, Policy(3))).policy == first.policy
        assert [policy.version for policy in await catalogue.list_policies(session)] == [1, 0]


async def test_a_price_has_one_plan_at_any_time(mine: Tenant) -> None:
    await with_seats(mine)
    async with mine.session() as session:
        await catalogue.put_plan(session, basic(1, price="price_other"), effective_from=SOON)
    with pytest.raises(Conflict) as caught:
        async with mine.session() as session:
            await catalogue.put_plan(session, basic(1, key="second"))
    assert caught.value.param == "price"
    async with mine.session() as session:
        await catalogue.put_plan(session, basic(1, key="second"), effective_from=SOON)


async def test_a_new_policy_reaches_those_whom_it_is_about(mine: Tenant) -> None:
    await mine.sell(flag_export=True)
    await mine.has_customer()
    paused = subscription("active", pause_collection={"behavior": "void", "resumes_at": None})
    await mine.handle(event("created", START, paused))
    assert await mine.granted() == {"flag_export": True}
    async with mine.session() as session:
        put = await catalogue.put_policy(session, Policy(pause_collection="suspends"), "key_1")
    assert (put.policy.version, put.rest) == (1, None)
    assert await mine.granted() == {}
    assert [row["cause"] for row in await mine.rows("entitlement_changes")][-1] == "policy@1"
    await mine.handle(changed(START + 9, paused, paused | {"pause_collection": None}))
    assert await mine.granted() == {"flag_export": True}
    resuming = paused | {"pause_collection": {"behavior": "void", "resumes_at": PERIOD_END + 10**9}}
    await mine.handle(changed(START + 10, paused | {"pause_collection": None}, resuming))
    assert await mine.granted() == {}
    (row,) = [row for row in await mine.rows("entitlements") if row["valid_until"] is None]
    assert row["valid_from"] == moment(PERIOD_END + 10**9)
    await mine.check_history()


async def test_how_grants_combine_changes_from_now_on(mine: Tenant) -> None:
    await mine.sell(limit_projects=3)
    await mine.has_customer()
    await mine.handle(event("created", START, subscription("active", item(), item("2"))))
    assert await mine.granted() == {"limit_projects": 3}
    async with mine.session() as session:
        await catalogue.put_feature(session, Feature("limit_projects", "limit", "Projects", combine="sum"))
    assert await mine.granted() == {"limit_projects": 6}
    (was, since, until), (now, from_, _) = await timeline(mine, "limit_projects")
    assert (was, since, now, until) == (3, moment(START), 6, from_)
    assert [row["cause"] for row in await mine.rows("entitlement_changes")][-1] == "feature:limit_projects@2"


async def test_the_fallback_is_what_nobody_granted(mine: Tenant) -> None:
    await with_seats(mine)
    await mine.has_customer("free", "cus_2")
    async with mine.session() as session:
        await catalogue.put_feature(session, Feature("quantity_seats", "quantity", "Seats", fallback=1))
        await catalogue.put_feature(session, Feature("hello", "flag", "Hello", fallback=True))
    assert await mine.granted("free") == {"quantity_seats": 1, "hello": True}
    assert await mine.granted() == {"quantity_seats": 2, "hello": True}


@pytest.mark.parametrize(
    ("feature", "param"),
    [
        (Feature("a", "flag", "A", combine="sum"), "combine"),
        (Feature("a", "limit", "A", combine="or"), "combine"),
        (Feature("a", "flag", "A", fallback=2), "fallback"),
        (Feature("a", "limit", "A", fallback=True), "fallback"),
        (Feature("a", "quantity", "A", fallback=-1), "fallback"),
        (Feature("explain", "flag", "A"), "key"),
    ],
)
async def test_a_meaning_that_cannot_be_is_refused_by_field(mine: Tenant, feature: Feature, param: str) -> None:
    with pytest.raises(Invalid) as caught:
        async with mine.session() as session:
            await catalogue.put_feature(session, feature)
    assert caught.value.param == param


@pytest.mark.parametrize("grace", [-1, 366, True, "for ever"])
async def test_a_policy_that_cannot_be_is_refused_by_field(mine: Tenant, grace: Any) -> None:
    with pytest.raises(Invalid) as caught:
        async with mine.session() as session:
            await catalogue.put_policy(session, Policy(grace))
    assert caught.value.param == "grace"


async def test_a_change_goes_on_where_it_was_left(mine: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affected, "BATCH", 2)
    await mine.sell(quantity_seats=1)
    for number in range(5):
        await mine.has_customer(f"c{number}", f"cus_{number}")
        body = subscription(id=f"sub_{number}", customer=f"cus_{number}")
        body["items"]["data"][0]["id"] = f"si_{number}"
        await mine.handle(event("created", START, body))
    async with mine.session() as session:
        rest = (await catalogue.put_plan(session, basic(4))).rest
    assert rest is not None
    assert (rest.done, rest.total, rest.cause) == (2, 5, "plan:basic@2")
    assert [(await mine.granted(f"c{n}"))["quantity_seats"] for n in range(5)] == [4, 4, 1, 1, 1]
    position = rest.position
    for left in (2, 1):
        async with mine.connection() as connection:
            done = await catalogue.recompute_batch(connection, rest.scope, rest.cause, position)
        assert len(done) == left
        position = done[-1]
    assert [(await mine.granted(f"c{n}"))["quantity_seats"] for n in range(5)] == [4] * 5

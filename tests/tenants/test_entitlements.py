"""Rows, their history, and the check, by the database's clock."""

import asyncio
from typing import Any

import pytest

from colonnade_tenants import catalogue
from colonnade_tenants.catalogue import Feature, Grant, Plan
from colonnade_tenants.entitlements import check, recompute
from colonnade_tenants.errors import NotFound
from colonnade_tenants.partition import TenantConnection
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import START, event, item, item_list, moment, subscription


async def test_the_check_answers_for_every_feature_of_the_tenant(mine: Tenant) -> None:
    await mine.sell(flag_export=True, limit_projects=None, quantity_seats=2)
    async with mine.session() as session:
        for feature in (
            Feature("a", "flag", "A"),
            Feature("b", "limit", "B", unit="bytes"),
            Feature("c", "quantity", "C"),
        ):
            await catalogue.put_feature(session, feature)
    await mine.has_customer()
    await mine.handle(event("created", START, subscription("active", item(quantity=3), cancel_at=START + 10**9)))
    found = await mine.check()
    assert (found.customer, found.as_of.tzinfo is not None) == ("ref", True)
    assert [(e.feature, e.kind, e.unit, e.granted, e.value) for e in found.entitlements] == [
        ("a", "flag", None, False, False),
        ("b", "limit", "bytes", False, 0),
        ("c", "quantity", None, False, 0),
        ("flag_export", "flag", None, True, True),
        ("limit_projects", "limit", None, True, None),
        ("quantity_seats", "quantity", None, True, 6),
    ]
    export, missing = found.get("flag_export"), found.get("a")
    assert export is not None
    assert missing is not None
    assert (export.valid_from, export.valid_until, export.sources) == (moment(START), moment(START + 10**9), ["si_1"])
    assert (missing.valid_from, missing.valid_until, missing.sources) == (None, None, [])
    assert found.get("unknown") is None


async def test_an_unknown_customer_is_none_and_one_without_features_is_not(mine: Tenant) -> None:
    for unknown in ("ref", "nobody", "a\0b", "\ud800", "", "cus_1"):  # "ref" is the other tenant's
        assert await check(mine.app, mine.id, unknown) is None
    await mine.has_customer("mine")
    assert (await mine.check("mine")).entitlements == []


WAITING = "select 1 from pg_locks where locktype = 'advisory' and not granted and pid = $1"


async def test_a_check_that_takes_long_says_what_held_when_it_began(mine: Tenant) -> None:
    await mine.sell(flag_export=True)
    await mine.has_customer()
    held = (
        "select c.granted from (select pg_advisory_xact_lock(1)::text as nothing) waited, "
        "lateral check_entitlements($1, array['ref' || waited.nothing]) c"
    )
    async with mine.app.acquire() as reader, mine.worker.acquire() as holder:
        backend = await reader.fetchval("select pg_backend_pid()")
        async with asyncio.timeout(60), holder.transaction():
            await holder.execute("select pg_advisory_xact_lock(1)")
            reading = asyncio.create_task(reader.fetch(held, mine.id))
            while not await holder.fetchval(WAITING, backend):
                await asyncio.sleep(0.01)
            await mine.handle(event("created", START, subscription()))
        (row,) = await reading
    assert row["granted"] is False
    assert (await mine.check()).entitlements[0].granted is True


BOUNDARIES = {
    ("now()", "null"): True,
    ("now() + '1 microsecond'", "null"): False,
    ("now() - '1 day'::interval", "now() + '1 microsecond'"): True,
    ("now() - '1 day'::interval", "now()"): False,
}


@pytest.mark.parametrize(("start", "end"), BOUNDARIES)
async def test_intervals_are_half_open_to_the_microsecond(mine: Tenant, start: str, end: str) -> None:
    await mine.sell(flag_export=True)
    await mine.has_customer()
    await mine.handle(event("created", START, subscription()))
    async with mine.worker.acquire() as connection, connection.transaction():
        await TenantConnection.bind(connection, mine.id)
        await connection.execute(
            f"update entitlements set valid_from = {start}, valid_until = {end} where tenant_id = $1", mine.id
        )
        (row,) = await connection.fetch("select * from check_entitlements($1, array['ref'])", mine.id)
    assert row["granted"] is BOUNDARIES[start, end]


async def test_what_has_ended_by_the_clock_is_kept_and_not_granted(mine: Tenant) -> None:
    await mine.sell(flag_export=True)
    await mine.has_customer()
    await mine.handle(event("created", START - 10**8, subscription(start_date=START - 10**8, cancel_at=START - 10**7)))
    (row,) = await mine.rows("entitlements")
    assert row["valid_until"] == moment(START - 10**7)
    (export,) = (await mine.check()).entitlements
    assert (export.granted, export.value) == (False, False)


async def test_recomputing_changes_nothing_that_the_facts_do_not(mine: Tenant) -> None:
    await mine.sell(flag_export=True, limit_projects=3)
    customer = await mine.has_customer()
    await mine.handle(event("created", START, subscription()))
    before = [await mine.rows(table) for table in ("entitlements", "entitlement_changes")]
    async with mine.connection() as connection:
        assert await recompute(connection, customer.id, "again") == []
    assert [await mine.rows(table) for table in ("entitlements", "entitlement_changes")] == before


async def test_a_change_names_the_feature_alone_that_changed(mine: Tenant) -> None:
    await mine.sell(flag_export=True, limit_projects=3)
    customer = await mine.has_customer()
    await mine.handle(event("created", START, subscription()))
    async with mine.session() as session:
        terms = [Grant("flag_export", True), Grant("limit_projects", 4)]
        await catalogue.put_plan(session, Plan("basic", "Basic", price="price_basic", grants=terms))
    changes = sorted(await mine.rows("entitlement_changes"), key=lambda row: row["sequence"])
    assert [(row["customer_id"], row["sequence"], row["feature"], row["cause"]) for row in changes] == [
        (customer.id, 1, "flag_export", f"evt_created_{START}"),
        (customer.id, 2, "limit_projects", f"evt_created_{START}"),
        (customer.id, 3, "limit_projects", "plan:basic@2"),
    ]
    assert (changes[0]["before"], '"value": 4' in changes[2]["after"]) == (None, True)
    assert changes[2]["before"] == changes[1]["after"]


async def test_all_subscriptions_of_a_customer_count_and_no_one_elses(mine: Tenant) -> None:
    await mine.sell(quantity_seats=1)
    await mine.has_customer()
    await mine.has_customer("else", "cus_2")
    second: dict[str, Any] = {"id": "sub_2", "items": item_list(item("2", quantity=4))}
    others: dict[str, Any] = {"id": "sub_3", "customer": "cus_2", "items": item_list(item("3", quantity=8))}
    for changes in ({}, second, others):
        await mine.handle(event("created", START, subscription() | changes))
    seats = [(await mine.check(reference)).entitlements[0] for reference in ("ref", "else")]
    assert [(answer.value, answer.sources) for answer in seats] == [(5, ["si_1", "si_2"]), (8, ["si_3"])]


async def test_a_customer_that_is_not_there_is_named(mine: Tenant) -> None:
    async with mine.connection() as connection:
        with pytest.raises(NotFound):
            await recompute(connection, 10**9, "evt_1")

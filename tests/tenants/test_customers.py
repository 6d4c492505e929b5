"""End customers: reserved, bound, found by reference; and the twin that an event makes first."""

import asyncio
from typing import Any

import pytest

from colonnade_tenants import customers
from colonnade_tenants.errors import Conflict, Invalid, NotFound
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import START, event, subscription


async def test_reserving_again_changes_the_fields_and_keeps_the_row(mine: Tenant) -> None:
    async with mine.session() as session:
        first, created = await customers.reserve(session, "käse 1", "Ann", "ann@example.com", {"tier": "gold"})
        assert created
        assert (first.reference, first.stripe_customer, first.metadata) == ("käse 1", None, {"tier": "gold"})
        assert first.public_id.startswith("ecu_")
    async with mine.session() as session:
        same, created = await customers.reserve(session, "käse 1", "Ann", "ann@example.com", {"tier": "gold"})
        assert (same, created) == (first, False), "nothing changed, updated_at neither"
        second, created = await customers.reserve(session, "käse 1", "Bea")
        assert not created
        assert (second.id, second.public_id, second.name, second.email) == (first.id, first.public_id, "Bea", None)
        assert second.updated_at > first.updated_at
        assert await customers.get(session, "käse 1") == second


async def test_an_email_address_is_no_identity(mine: Tenant) -> None:
    async with mine.session() as session:
        one, _ = await customers.reserve(session, "one", email="same@example.com")
        two, created = await customers.reserve(session, "two", email="same@example.com")
    assert created
    assert one.id != two.id


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reference": ""}, "reference"),
        ({"reference": "a/b"}, "reference"),
        ({"reference": ".."}, "reference"),
        ({"reference": "a\nb"}, "reference"),
        ({"reference": "a\0"}, "reference"),
        ({"reference": "\ud800"}, "reference"),
        ({"reference": "x" * 129}, "reference"),
        ({"name": "n" * 257}, "name"),
        ({"email": "nobody"}, "email"),
        ({"email": "a b@example.com"}, "email"),
        ({"metadata": {"": "x"}}, "metadata"),
        ({"metadata": {"k" * 41: "x"}}, "metadata"),
        ({"metadata": {"k": "v" * 501}}, "metadata.k"),
        ({"metadata": {"a[b]": "v"}}, "metadata.a[b]"),
        ({"metadata": {str(n): "v" for n in range(51)}}, "metadata"),
    ],
)
async def test_a_customer_that_cannot_be_is_refused_by_field(mine: Tenant, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Invalid) as caught:
        async with mine.session() as session:
            await customers.reserve(session, **{"reference": "ok"} | fields)
    assert caught.value.param == param
    assert await mine.rows("customers") == []


async def test_a_customer_is_found_by_its_tenants_reference_only(mine: Tenant) -> None:
    async with mine.session() as session:
        for unknown in ("ref", "a\0b", "\ud800", ""):  # "ref" is the other tenant's
            with pytest.raises(NotFound):
                await customers.get(session, unknown)


async def test_binding_is_unique_both_ways_and_harmless_to_repeat(mine: Tenant) -> None:
    bound = await mine.has_customer("one", "cus_one")
    assert bound.stripe_customer == "cus_one"
    assert (await mine.has_customer("one", "cus_one")).id == bound.id
    with pytest.raises(Conflict, match="another Stripe customer"):
        await mine.has_customer("one", "cus_else")
    with pytest.raises(Conflict, match="bound to another customer"):
        await mine.has_customer("two", "cus_one")


async def test_the_row_that_an_event_made_becomes_the_customer(mine: Tenant) -> None:
    await mine.sell(flag_export=True)
    async with mine.session() as session:
        reserved, _ = await customers.reserve(session, "ref", "Ann", metadata={"a": "b"})
    await mine.handle(event("created", START, subscription()))
    async with mine.session() as session:
        twin = next(one for one in await customers.list_page(session) if one.stripe_customer == "cus_1")
        assert twin.reference is None

    for _ in range(2):  # a repeated bind, with the row as it was reserved, finds it bound
        async with mine.session() as session:
            bound = await customers.bind(session, reserved, "cus_1")
        assert (bound.id, bound.public_id, bound.reference) == (twin.id, reserved.public_id, "ref")
        assert (bound.name, bound.metadata, bound.created_at) == ("Ann", {"a": "b"}, reserved.created_at)
    assert len(await mine.rows("customers")) == 1
    (export,) = (await mine.check("ref")).entitlements
    assert export.granted


async def test_binding_while_an_event_makes_the_row_ends_in_one_row(mine: Tenant) -> None:
    async with mine.session() as session:
        reserved, _ = await customers.reserve(session, "ref")
    async with mine.connection() as connection:
        await customers.by_stripe_id(connection, "cus_1")
        binding = asyncio.create_task(_bind(mine, reserved))
        await asyncio.sleep(0.3)
        assert not binding.done(), "it waits for the event's transaction"
    await binding
    (row,) = await mine.rows("customers")
    assert (row["reference"], row["stripe_customer"], row["public_id"]) == ("ref", "cus_1", reserved.public_id)


async def _bind(tenant: Tenant, customer: customers.Customer) -> None:
    async with tenant.session() as session:
        await customers.bind(session, customer, "cus_1")


async def test_pages_follow_the_order_of_creation(mine: Tenant) -> None:
    async with mine.session() as session:
        made = [(await customers.reserve(session, f"ref {n}"))[0] for n in (3, 1, 2)]
        made.sort(key=lambda customer: customer.public_id)
        first = await customers.list_page(session, limit=2)
        assert first == made[:2]
        assert await customers.list_page(session, after=first[-1].public_id, limit=2) == made[2:]
        with pytest.raises(Invalid):
            await customers.list_page(session, after="\0")

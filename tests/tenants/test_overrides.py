"""Overrides: what is decided by hand for one customer, how it ends, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from colonnade_tenants import catalogue, customers
from colonnade_tenants.catalogue import Feature
from colonnade_tenants.entitlements import overrides
from colonnade_tenants.entitlements.overrides import NewOverride, Override
from colonnade_tenants.entitlements.rows import CHANNEL
from colonnade_tenants.errors import Conflict, DomainError, Invalid, NotFound
from colonnade_tenants.events import Event
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import START, event, item, moment, subscription

SOON = datetime.now(UTC) + timedelta(days=1)


async def subscribed(tenant: Tenant) -> int:
    """A customer with an export, three projects and four seats."""
    await tenant.sell(flag_export=True, limit_projects=3, quantity_seats=2)
    customer = await tenant.has_customer()
    await tenant.handle(event("created", START, subscription("active", item(quantity=2))))
    return customer.id


async def decide(tenant: Tenant, customer: int, feature: str, effect: Any, **fields: Any) -> Override:
    async with tenant.session() as session:
        key = fields.pop("key", None)
        new = NewOverride(feature, effect, "They asked.", "Grace", **fields)
        return await overrides.add(session, customer, new, author_key="key_1", idempotency_key=key)


async def test_a_grant_adds_a_set_replaces_and_a_denial_beats_both(mine: Tenant) -> None:
    customer = await subscribed(mine)
    await decide(mine, customer, "quantity_seats", "grant", value=10)
    await decide(mine, customer, "limit_projects", "grant", value=2)
    assert await mine.granted() == {"flag_export": True, "limit_projects": 3, "quantity_seats": 14}
    await decide(mine, customer, "quantity_seats", "set", value=1)
    await decide(mine, customer, "limit_projects", "set", value=None)
    assert await mine.granted() == {"flag_export": True, "limit_projects": None, "quantity_seats": 1}
    denials = [await decide(mine, customer, name, "deny") for name in ("quantity_seats", "flag_export")]
    assert await mine.granted() == {"limit_projects": None}
    answer = (await mine.check()).get("quantity_seats")
    assert answer is not None
    assert (answer.granted, answer.value, answer.sources) == (False, 0, [denials[0].id])
    await mine.check_history()


async def test_a_customer_without_a_subscription_can_be_granted_something(mine: Tenant) -> None:
    await mine.sell(flag_export=True, limit_projects=3)
    customer = await mine.has_customer()
    await decide(mine, customer.id, "flag_export", "grant")
    await decide(mine, customer.id, "limit_projects", "set", value=9)
    assert await mine.granted() == {"flag_export": True, "limit_projects": 9}


async def test_revoking_ends_it_and_keeps_it(mine: Tenant) -> None:
    customer = await subscribed(mine)
    denial = await decide(mine, customer, "flag_export", "deny", ends_at=SOON)
    assert (denial.state, denial.value, denial.author, denial.author_key) == ("active", False, "Grace", "key_1")
    for _ in range(2):
        async with mine.session() as session:
            await overrides.revoke(session, customer, denial.id, "key_2")
    async with mine.session() as session:
        (kept,) = await overrides.list_page(session, customer, None, 20)
    assert (kept.state, kept.revoked_by, kept.ends_at) == ("revoked", "key_2", SOON)
    assert (await mine.granted())["flag_export"] is True
    causes = [row["cause"] for row in await mine.rows("entitlement_changes") if row["feature"] == "flag_export"]
    assert sorted(causes) == sorted([f"evt_created_{START}", *[f"override:{denial.id}"] * 2])
    await mine.check_history()


async def test_it_ends_by_the_clock_to_the_microsecond(mine: Tenant) -> None:
    customer = await subscribed(mine)
    await decide(mine, customer, "quantity_seats", "set", value=9, ends_at=SOON)
    rows = [row for row in await mine.rows("entitlements") if row["feature"] == "quantity_seats"]
    assert [(row["value"], row["valid_until"]) for row in sorted(rows, key=lambda row: row["valid_from"])][1:] == [
        (9, SOON),
        (4, None),
    ]


async def test_repeating_a_request_decides_once(mine: Tenant) -> None:
    customer = await subscribed(mine)
    first = await decide(mine, customer, "quantity_seats", "grant", value=1, key="once")
    assert await decide(mine, customer, "quantity_seats", "grant", value=1, key="once") == first
    assert (await mine.granted())["quantity_seats"] == 5
    with pytest.raises(Conflict):
        await decide(mine, customer, "quantity_seats", "grant", value=2, key="once")
    other = await mine.has_customer("other", "cus_2")
    with pytest.raises(Conflict):
        await decide(mine, other.id, "quantity_seats", "grant", value=1, key="once")


REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    ("nope", "grant", {}, "feature"),
    ("flag_export", "deny", {"value": True}, "value"),
    ("flag_export", "grant", {"value": False}, "value"),
    ("flag_export", "grant", {"value": 1}, "value"),
    ("limit_projects", "grant", {}, "value"),
    ("limit_projects", "set", {"value": -1}, "value"),
    ("limit_projects", "set", {"value": True}, "value"),
    ("quantity_seats", "set", {"value": None}, "value"),
    ("quantity_seats", "set", {"value": 2**53}, "value"),
    ("quantity_seats", "set", {"value": 1, "ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "ends_at"),
    ("quantity_seats", "set", {"value": 1, "ends_at": datetime(2120, 1, 1)}, "ends_at"),  # noqa: DTZ001
]


async def test_what_cannot_be_is_refused_by_field_and_writes_nothing(mine: Tenant) -> None:
    customer = await subscribed(mine)
    before = await mine.rows("entitlement_changes")
    for feature, effect, fields, param in REFUSED:
        with pytest.raises(Invalid) as caught:
            await decide(mine, customer, feature, effect, **fields)
        assert caught.value.param == param, (feature, effect, fields)
    for blank in ("reason", "author"):
        async with mine.session() as session:
            words = {"reason": "r", "author": "a"} | {blank: " "}
            with pytest.raises(Invalid) as caught:
                await overrides.add(session, customer, NewOverride("flag_export", "deny", **words))
        assert caught.value.param == blank
    assert await mine.rows("entitlement_overrides") == []
    assert await mine.rows("entitlement_changes") == before


async def test_a_customer_has_only_so_many(mine: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = await subscribed(mine)
    monkeypatch.setattr(overrides, "MOST", 2)
    first = await decide(mine, customer, "flag_export", "grant")
    await decide(mine, customer, "flag_export", "grant")
    with pytest.raises(Conflict):
        await decide(mine, customer, "flag_export", "grant")
    async with mine.session() as session:
        await overrides.revoke(session, customer, first.id)
    await decide(mine, customer, "flag_export", "grant")


async def test_a_feature_that_overrides_are_about_keeps_its_kind(mine: Tenant) -> None:
    customer = await mine.has_customer()
    async with mine.session() as session:
        await catalogue.put_feature(session, Feature("beds", "limit", "Beds"))
    bed = await decide(mine, customer.id, "beds", "set", value=1)
    for refused in (Feature("beds", "quantity", "Beds"), None):
        with pytest.raises(DomainError) as caught:
            async with mine.session() as session:
                await (
                    catalogue.put_feature(session, refused) if refused else catalogue.delete_feature(session, "beds")
                )
        assert "1 customer" in caught.value.message
    async with mine.session() as session:
        await overrides.revoke(session, customer.id, bed.id)
        await catalogue.delete_feature(session, "beds")


async def test_another_customers_and_another_tenants_are_not_found(mine: Tenant) -> None:
    customer = await subscribed(mine)
    kept = await decide(mine, customer, "flag_export", "deny")
    other = await mine.has_customer("other", "cus_2")
    stranger = mine.sibling()
    theirs = await stranger.has_customer()
    for tenant, whose in ((mine, other.id), (stranger, theirs.id), (stranger, customer)):
        for attempt in (overrides.get, overrides.revoke):
            with pytest.raises(NotFound):
                async with tenant.session() as session:
                    await attempt(session, whose, kept.id)
    with pytest.raises(NotFound):
        await decide(stranger, customer, "flag_export", "deny")
    assert "flag_export" not in await mine.granted()


async def test_a_change_is_announced_to_whoever_listens(mine: Tenant) -> None:
    customer = await subscribed(mine)
    heard: list[str] = []
    async with mine.app.acquire() as connection:

        def listen(*message: Any) -> None:
            heard.append(message[3])

        await connection.add_listener(CHANNEL, listen)
        await decide(mine, customer, "flag_export", "deny")
        async with mine.session() as session:
            await catalogue.put_feature(session, Feature("beds", "limit", "Beds", fallback=2))
        await connection.fetchval("select 1")
        await connection.remove_listener(CHANNEL, listen)
    assert heard == [f"{mine.id}:{customer}", f"{mine.id}:*"]


async def test_what_was_decided_before_a_purchase_passes_to_the_customer_that_stripe_told_of(mine: Tenant) -> None:
    await mine.sell(flag_export=True, quantity_seats=1)
    async with mine.session() as session:
        reserved, _ = await customers.reserve(session, "ref")
    gift = await decide(mine, reserved.id, "quantity_seats", "grant", value=5)
    await mine.handle(event("created", START, subscription()))  # of a Stripe customer that nobody has named yet
    checkout = {"customer": "cus_1", "metadata": {"colonnade_customer": reserved.public_id}}
    raw = msgspec.Raw(msgspec.json.encode(checkout))
    await mine.handle(Event("evt_done", "checkout.session.completed", moment(START), None, raw))
    assert await mine.granted() == {"flag_export": True, "quantity_seats": 6}
    async with mine.session() as session:
        customer = await customers.get(session, "ref")
        assert [each.id for each in await overrides.list_page(session, customer.id, None, 20)] == [gift.id]
    rows = await mine.rows("entitlement_changes")
    assert {row["customer_id"] for row in rows} == {customer.id}
    assert sorted(row["sequence"] for row in rows) == list(range(1, len(rows) + 1))

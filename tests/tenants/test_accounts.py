"""The connected account's mirror: late events, and access taken away and given again."""

from itertools import permutations
from typing import Any

import msgspec
import pytest

from colonnade_tenants import accounts
from colonnade_tenants.errors import Invalid
from colonnade_tenants.events import Event
from tests.tenants.billing import tell
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import START, moment


def account(charges: bool = True, **changes: Any) -> dict[str, Any]:
    return {
        "id": "acct_1",
        "object": "account",
        "capabilities": {"card_payments": "active" if charges else "pending"},
        "charges_enabled": charges,
        "details_submitted": True,
        "payouts_enabled": charges,
        "requirements": {"currently_due": [], "disabled_reason": None},
        "type": "none",
    } | changes


def updated(created: int, body: dict[str, Any], previous: dict[str, Any] | None = None, name: str = "") -> Event:
    raw = msgspec.Raw(msgspec.json.encode(body))
    return Event(f"evt_{created}{name}", "account.updated", moment(created), "acct_1", raw, previous or {})


def application(kind: str, created: int, account_id: str | None = "acct_1") -> Event:
    raw = msgspec.Raw(b'{"id": "ca_1", "object": "application", "name": "Colonnade"}')
    return Event(f"evt_{kind}_{created}", f"account.application.{kind}", moment(created), account_id, raw)


async def mirrored(tenant: Tenant) -> accounts.ConnectedAccount:
    async with tenant.connection() as connection:
        found = await accounts.read(connection, "acct_1")
    assert found is not None
    return found


async def test_an_account_never_heard_of_is_none(mine: Tenant) -> None:
    async with mine.connection() as connection:
        assert await accounts.read(connection, "acct_1") is None


async def test_a_read_is_mirrored_and_any_event_is_newer(mine: Tenant) -> None:
    async with mine.connection() as connection:
        assert await accounts.apply_account(connection, account(False), None)
        assert not await accounts.apply_account(connection, account(False), None)
    held = await mirrored(mine)
    assert held.facts == accounts.Facts(
        "acct_1", False, False, True, {"card_payments": "pending"}, {"currently_due": [], "disabled_reason": None}, {}
    )
    assert (held.access, held.held.event) == (accounts.Access(), "read")
    await mine.handle(updated(START, account(True)))
    assert (await mirrored(mine)).facts.charges_enabled


async def test_the_newest_event_wins_in_any_order(mine: Tenant) -> None:
    bodies = [account(False, details_submitted=False), account(False), account(True)]
    events = [updated(START + number, body, {}) for number, body in enumerate(bodies)]
    ends = []
    for order in permutations(events):
        tenant = mine.sibling()
        await tenant.handle(*order, order[0])
        ends.append(await mirrored(tenant))
    assert all(end == ends[0] for end in ends)
    assert (ends[0].facts.charges_enabled, ends[0].held.event) == (True, f"evt_{START + 2}")


async def test_events_of_one_second_are_settled_by_what_was_before_else_by_a_read(mine: Tenant) -> None:
    before = {"charges_enabled": False, "payouts_enabled": False, "capabilities": {"card_payments": "pending"}}
    first, second = updated(START, account(False), name="a"), updated(START, account(True), before, "b")
    for order in ((first, second), (second, first)):
        tenant = mine.sibling()
        await tenant.handle(*order)
        assert (await mirrored(tenant)).facts.charges_enabled
        assert tenant.stripe.asked == []
    third = updated(START, account(True, details_submitted=False), {"type": "standard"}, "c")
    mine.stripe.replies["/v1/accounts/acct_1"] = account(True, payouts_enabled=False)
    await mine.handle(second, third)
    assert [path for path, _ in mine.stripe.asked] == ["/v1/accounts/acct_1"]
    assert not (await mirrored(mine)).facts.payouts_enabled


async def test_a_disconnected_account_is_never_read(mine: Tenant) -> None:
    await mine.handle(application("deauthorized", START + 5), updated(START, account(True), {"type": "a"}, "a"))
    await mine.handle(updated(START, account(False), {"type": "b"}, "b"))
    assert mine.stripe.asked == []
    assert (await mirrored(mine)).facts.charges_enabled


ACCESS = {
    "gone": ([("deauthorized", 5)], 5),
    "gone, then heard of late": ([("deauthorized", 5), ("updated", 3), ("updated", 4)], 5),
    "an update never gives access": ([("deauthorized", 5), ("updated", 7)], 5),
    "given again": ([("deauthorized", 5), ("authorized", 6), ("updated", 7)], None),
    "given before": ([("authorized", 4), ("deauthorized", 5)], 5),
    "given and taken in one second": ([("authorized", 5), ("deauthorized", 5)], 5),
    "taken twice": ([("deauthorized", 3), ("authorized", 5), ("deauthorized", 7)], 7),
    "given twice": ([("deauthorized", 3), ("authorized", 5), ("authorized", 4)], None),
}


@pytest.mark.parametrize("story", ACCESS)
async def test_access_is_what_the_newest_of_its_events_says(mine: Tenant, story: str) -> None:
    steps, gone = ACCESS[story]
    events = [
        updated(START + at, account(), {}) if kind == "updated" else application(kind, START + at) for kind, at in steps
    ]
    for order in permutations(events):
        tenant = mine.sibling()
        await tenant.handle(*order, *order)
        held = await mirrored(tenant)
        assert held.access.disconnected_at == (None if gone is None else moment(START + gone)), order
        assert tenant.stripe.asked == [], "a disconnected account cannot be read"
        assert held.facts.charges_enabled == any(kind == "updated" for kind, _ in steps)


async def test_what_is_not_as_documented_changes_nothing(mine: Tenant) -> None:
    with pytest.raises(msgspec.ValidationError, match="charges_enabled"):
        await mine.handle(updated(START, account() | {"charges_enabled": "yes"}))
    with pytest.raises(Invalid, match="another account"):
        await mine.handle(updated(START, account() | {"id": "acct_2"}))
    for kind in ("authorized", "deauthorized"):
        with pytest.raises(Invalid, match="which account"):
            await mine.handle(application(kind, START, None))
    assert await mine.rows("connected_accounts") == []


def capability(status: str, created: int) -> Event:
    body = {"id": "card_payments", "object": "capability", "account": "acct_1", "requested": True, "status": status}
    return tell("capability.updated", created, body, {}, account="acct_1")


async def test_a_capability_that_no_newer_snapshot_told_of_has_the_account_read_once(mine: Tenant) -> None:
    now = account(capabilities={"card_payments": "active"})
    mine.stripe.replies["/v1/accounts/acct_1"] = now
    await mine.handle(capability("active", START))
    await mine.handle(capability("active", START), capability("inactive", START - 1))
    held = await mirrored(mine)
    assert held.facts.capabilities == {"card_payments": "active"}
    assert len(mine.stripe.asked) == 1


async def test_a_capability_and_an_older_snapshot_of_the_account_end_alike_in_both_orders(mine: Tenant) -> None:
    before = updated(START, account(False))
    for order in permutations([before, capability("active", START + 1)]):
        tenant = mine.sibling()
        tenant.stripe.replies["/v1/accounts/acct_1"] = account()
        await tenant.handle(*order)
        assert (await mirrored(tenant)).facts.charges_enabled, [event.type for event in order]
        await tenant.handle(updated(START + 2, account(False), name="later"))
        assert not (await mirrored(tenant)).facts.charges_enabled


async def test_people_and_bank_accounts_have_the_account_read_only_where_they_are_news(mine: Tenant) -> None:
    wanting = {"currently_due": ["external_account", "person_1.dob.day"], "disabled_reason": None}
    await mine.handle(updated(START, account(requirements=wanting)))
    mine.stripe.replies["/v1/accounts/acct_1"] = account()

    def person(kind: str, at: int, *due: str) -> Event:
        body = {"id": "person_1", "object": "person", "account": "acct_1", "requirements": {"currently_due": due}}
        return tell(f"person.{kind}", START + at, body, {}, account="acct_1")

    def bank(kind: str, at: int) -> Event:
        body = {"id": "ba_1", "object": "bank_account", "account": "acct_1"}
        return tell(f"account.external_account.{kind}", START + at, body, {}, account="acct_1")

    await mine.handle(person("updated", 1, "dob.day"), bank("deleted", 1), person("updated", -1), bank("created", -1))
    assert mine.stripe.asked == [], "the same as is known, or older"
    await mine.handle(person("updated", 2))
    assert (len(mine.stripe.asked), (await mirrored(mine)).facts.requirements) == (1, account()["requirements"])
    await mine.handle(bank("created", 3), person("deleted", 3))
    assert len(mine.stripe.asked) == 1
    await mine.handle(bank("deleted", 4))
    assert len(mine.stripe.asked) == 2
    for event in (person("created", 9, "x"), bank("created", 9)):
        foreign = msgspec.structs.replace(event, account="acct_2")
        with pytest.raises(Invalid, match="another account"):
            await mine.handle(foreign)


async def test_a_read_that_was_overtaken_by_an_event_changes_nothing(mine: Tenant) -> None:
    await mine.handle(updated(START + 5, account(True)))
    async with mine.connection() as connection:
        assert not await accounts.apply_account(connection, account(False), None, as_of=moment(START + 4))
        assert await accounts.apply_account(connection, account(False), None, as_of=moment(START + 5))

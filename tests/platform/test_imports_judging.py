"""Whatever the objects name, an import takes in nothing that names another tenant, and counts each once."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from colonnade.accounts.states import State
from colonnade.imports.judging import sort
from colonnade.imports.store import Owner
from colonnade.stripe_api.charges import ChargeType
from colonnade.webhooks.attribute import Known

MINE, THEIRS = "acct_mine", "acct_theirs"
OWNER = Owner(1, "ten_mine", ChargeType.DESTINATION, MINE, State.LIVE, None)
ACCOUNTS = st.sampled_from([None, MINE, THEIRS, "acct_nobodys"])
TENANTS = st.sampled_from([{}, {"colonnade_tenant": "ten_mine"}, {"colonnade_tenant": "ten_theirs"}, {"x": "y"}])
NAMES = ["cus_mine", "cus_theirs", "cus_a", "cus_b", "cus_c"]


@st.composite
def customers(draw: st.DrawFn) -> Any:
    """A page of subscriptions has a customer's object the same each time."""
    return {name: {"id": name, "object": "customer", "metadata": draw(TENANTS)} for name in NAMES}


@st.composite
def pages(draw: st.DrawFn) -> list[dict[str, Any]]:
    people = draw(customers())
    found = []
    for number in range(draw(st.integers(0, 8))):
        destination, person = draw(ACCOUNTS), draw(st.sampled_from(NAMES))
        found.append(
            {
                "id": draw(st.sampled_from([f"sub_{number}", "sub_theirs"] if number == 0 else [f"sub_{number}"])),
                "object": "subscription",
                "customer": draw(st.sampled_from([people[person], {"id": person, "deleted": True}])),
                "on_behalf_of": draw(ACCOUNTS),
                "transfer_data": None if destination is None else {"destination": destination},
                "metadata": draw(TENANTS),
            }
        )
    return found


def known() -> Known:
    return Known(
        account={MINE: 1, THEIRS: 2},
        object={"cus_mine": 1, "cus_theirs": 2, "sub_theirs": 2},
        tenant={"ten_mine": 1, "ten_theirs": 2},
    )


def names(thing: dict[str, Any]) -> set[str | None]:
    """Everything in the object that could be another tenant's."""
    destination = (thing.get("transfer_data") or {}).get("destination")
    return {
        thing["id"],
        thing.get("customer"),
        thing.get("on_behalf_of"),
        destination,
        thing["metadata"].get("colonnade_tenant"),
    }


@given(page=pages())
def test_nothing_that_names_another_tenant_is_taken_in(page: list[dict[str, Any]]) -> None:
    judged = sort(OWNER, page, known(), set())
    alien = {THEIRS, "ten_theirs", "cus_theirs", "sub_theirs", "acct_nobodys"}
    for thing in (*judged.subscriptions, *judged.customers):
        assert not names(dict(thing)) & alien
    own = [dict(thing) for thing in judged.subscriptions if names(dict(thing)) & {MINE, "ten_mine"}]
    # A customer that was deleted is not taken in, and is known by a subscription that names the tenant.
    people = {"cus_mine", *(each["id"] for each in judged.customers), *(each["customer"] for each in own)}
    for thing in judged.subscriptions:
        assert names(dict(thing)) & {MINE, "ten_mine", *people}


@given(page=pages())
def test_every_subscription_is_counted_once(page: list[dict[str, Any]]) -> None:
    judged = sort(OWNER, page, known(), set())
    counts = judged.counts
    assert counts.subscriptions == len(judged.subscriptions)
    assert counts.customers == len({each["id"] for each in judged.customers}) == len(judged.customers)
    assert counts.subscriptions + counts.others + counts.unclaimed + counts.refused == len(page)
    assert counts.refused == len(judged.findings)


@given(page=pages())
def test_a_second_look_takes_in_nothing_again(page: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    learnt = known()
    sort(OWNER, page, learnt, seen)
    again = sort(OWNER, page, learnt, seen)
    assert (again.customers, again.subscriptions) == ([], [])


def test_a_subscription_that_names_nobody_comes_with_its_customer() -> None:
    plain: dict[str, Any] = {"object": "subscription", "customer": "cus_a", "on_behalf_of": None, "metadata": {}}
    page = [plain | {"id": "sub_1"}, plain | {"id": "sub_2", "on_behalf_of": MINE}]
    judged = sort(OWNER, page, known(), set())
    assert {thing["id"] for thing in judged.subscriptions} == {"sub_1", "sub_2"}
    assert judged.findings == []

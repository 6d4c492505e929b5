"""What grants, from when until when: each row of Stripe's statuses and each form of cancellation."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from colonnade_tenants.entitlements import compute as computing
from colonnade_tenants.entitlements.model import (
    LARGEST,
    Combination,
    Entitlement,
    Facts,
    Grant,
    Item,
    Override,
    Plan,
    Policy,
    Subscription,
)
from tests.tenants.payloads import MONTH, PERIOD_END, START, moment

GRACE = Policy(grace=timedelta(days=3))
FLAG, LIMIT, SEATS = Grant("export", "flag", 1), Grant("projects", "limit", 5), Grant("seats", "quantity", 1, True)
BASIC = Plan("basic", "price_basic", None, (FLAG, LIMIT, SEATS))


def compute(subscriptions: Sequence[Subscription], plans: Sequence[Plan], policy: Policy) -> list[Entitlement]:
    return computing(Facts(tuple(subscriptions), tuple(plans), (policy,)))


def item(name: str = "1", price: str = "price_basic", quantity: int = 1, end: int = PERIOD_END) -> Item:
    return Item(f"si_{name}", price, price.replace("price", "prod"), quantity, moment(end))


def subscription(status: str = "active", *items: Item, start: int = START, **ends: Any) -> Subscription:
    facts: dict[str, Any] = {"cancel_at": None, "cancel_at_period_end": False, "ended_at": None, "past_due_since": None}
    return Subscription(status=status, started_at=moment(start), items=items or (item(),), **facts | ends)


def timeline(feature: str, found: list[Entitlement]) -> list[tuple[int | None, datetime, datetime | None]]:
    return [(row.value, row.valid_from, row.valid_until) for row in found if row.feature == feature]


def flag(*subscriptions: Subscription) -> list[tuple[datetime, datetime | None]]:
    """When these grant the flag."""
    return [(start, end) for _, start, end in timeline("export", compute(subscriptions, [BASIC], GRACE))]


@pytest.mark.parametrize(
    ("status", "grants"),
    [
        ("trialing", True),
        ("active", True),
        ("unpaid", False),
        ("incomplete", False),
        ("incomplete_expired", False),
        ("paused", False),
        ("canceled", False),
        ("a_status_of_next_year", False),
    ],
)
def test_which_statuses_grant(status: str, grants: bool) -> None:
    assert flag(subscription(status)) == ([(moment(START), None)] if grants else [])


def test_past_due_grants_until_the_grace_ends() -> None:
    since = moment(START + MONTH)
    assert flag(subscription("past_due", past_due_since=since)) == [(moment(START), since + GRACE.grace)]
    assert flag(subscription("past_due")) == []
    soon = moment(START + MONTH + 86_400)
    assert flag(subscription("past_due", past_due_since=since, cancel_at=soon)) == [(moment(START), soon)]


LONGER = item("2", end=PERIOD_END + MONTH)


@pytest.mark.parametrize(
    ("form", "changes", "end"),
    [
        ("flexible: cancel_at alone", {"cancel_at": moment(PERIOD_END)}, PERIOD_END),
        ("classic: both", {"cancel_at": moment(PERIOD_END), "cancel_at_period_end": True}, PERIOD_END),
        ("classic: the flag alone, mixed intervals", {"cancel_at_period_end": True}, PERIOD_END + MONTH),
        ("on a date of the merchant's", {"cancel_at": moment(START + 5)}, START + 5),
        ("ended_at", {"ended_at": moment(START + 9)}, START + 9),
        ("the earliest counts", {"ended_at": moment(START + 9), "cancel_at": moment(PERIOD_END)}, START + 9),
        ("reactivated: both cleared", {}, None),
    ],
)
def test_the_forms_of_ending(form: str, changes: dict[str, Any], end: int | None) -> None:
    found = flag(subscription("active", item(), LONGER, **changes))
    assert found == [(moment(START), None if end is None else moment(end))], form


def test_canceled_grants_nothing_whatever_ended_at_says() -> None:
    assert flag(subscription("canceled", ended_at=moment(PERIOD_END + 10 * MONTH))) == []


def test_what_would_end_before_it_starts_is_nothing() -> None:
    assert flag(subscription(cancel_at=moment(START))) == []
    assert flag(subscription(cancel_at=moment(START - 1))) == []


def test_quantities_add_limits_take_the_larger_and_all_items_count() -> None:
    pro = Plan("pro", "price_pro", None, (Grant("projects", "limit", 9), Grant("seats", "quantity", 2, True)))
    found = compute(
        [subscription("active", item(quantity=3), item("2", "price_pro", 4)), subscription("trialing", item("3"))],
        [BASIC, pro],
        GRACE,
    )
    start = moment(START)
    assert found == [
        Entitlement("export", "flag", 1, start, None, ("si_1", "si_3")),
        Entitlement("projects", "limit", 9, start, None, ("si_1", "si_2", "si_3")),
        Entitlement("seats", "quantity", 3 + 8 + 1, start, None, ("si_1", "si_2", "si_3")),
    ]


def test_no_limit_is_the_largest_limit() -> None:
    free = Plan("free", "price_free", None, (Grant("projects", "limit", None),))
    found = compute([subscription("active", item(), item("2", "price_free"))], [BASIC, free], GRACE)
    assert timeline("projects", found) == [(None, moment(START), None)]


def test_a_limit_per_unit_grows_with_the_quantity_and_no_value_leaves_what_json_keeps_exact() -> None:
    grants = (Grant("a", "limit", 10, True), Grant("b", "quantity", LARGEST, True), Grant("c", "limit", LARGEST, True))
    plan = Plan("basic", "price_basic", None, grants)
    found = compute([subscription("active", item(quantity=7), item("2", quantity=2))], [plan], GRACE)
    assert [row.value for row in found] == [70, LARGEST, LARGEST]


def test_the_plan_of_the_price_comes_before_the_plan_of_its_product() -> None:
    by_product = Plan("of_product", None, "prod_basic", (Grant("projects", "limit", 100),))
    empty = Plan("empty", "price_basic", None, ())
    for plans, value in (([BASIC, by_product], 5), ([by_product], 100)):
        assert timeline("projects", compute([subscription()], plans, GRACE)) == [(value, moment(START), None)]
    assert compute([subscription()], [empty, by_product], GRACE) == []


def test_two_subscriptions_make_one_timeline_without_gaps_or_overlaps() -> None:
    first = subscription("active", item(quantity=2), cancel_at=moment(START + 100))
    second = subscription("active", item("2", quantity=3), start=START + 50)
    third = subscription("active", item("3", quantity=4), start=START - 20, cancel_at=moment(START - 10))
    found = compute([first, second, third], [BASIC], GRACE)
    assert timeline("seats", found) == [
        (4, moment(START - 20), moment(START - 10)),
        (2, moment(START), moment(START + 50)),
        (5, moment(START + 50), moment(START + 100)),
        (3, moment(START + 100), None),
    ]


def test_equal_neighbours_are_one_interval() -> None:
    other = Plan("other", "price_other", None, (Grant("other", "flag", 1),))
    ending = subscription("active", item("9", "price_other"), cancel_at=moment(START + 10))
    found = compute([ending, subscription()], [BASIC, other], GRACE)
    assert timeline("export", found) == [(1, moment(START), None)]


def test_of_what_was_set_by_hand_the_last_counts_and_a_denial_before_it() -> None:
    def override(name: str, effect: Any, value: int, start: int) -> Override:
        return Override(name, "seats", "quantity", effect, value, moment(start), moment(START + 100))

    set_first, set_last = override("ovr_2", "set", 7, START), override("ovr_1", "set", 4, START + 50)
    denied, end = override("ovr_0", "deny", 0, START + 80), moment(START + 100)
    for overrides in ((set_first, set_last, denied), (denied, set_last, set_first)):
        found = computing(Facts((subscription("active", item(quantity=2)),), (BASIC,), (), overrides))
        assert timeline("seats", found) == [
            (7, moment(START), moment(START + 50)),
            (4, moment(START + 50), moment(START + 80)),
            (0, moment(START + 80), end),
            (2, end, None),
        ]


def test_how_grants_combine_changes_from_its_moment_on() -> None:
    facts = Facts(
        (subscription("active", item(), item("2")),),
        (BASIC,),
        combinations=(Combination("projects", "max"), Combination("projects", "sum", 2, moment(START + 50))),
    )
    assert timeline("projects", computing(facts)) == [
        (5, moment(START), moment(START + 50)),
        (10, moment(START + 50), None),
    ]

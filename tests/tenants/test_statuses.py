"""What Stripe's statuses, cancellations, trials, pauses and schedules mean for access, each as its own row.

"Subscription statuses", "Compare classic and flexible billing mode", "Pause payment collection", "Subscription
schedules", Stripe documentation.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest

from colonnade_tenants.entitlements.compute import compute, held
from colonnade_tenants.entitlements.explain import explain
from colonnade_tenants.entitlements.foresee import foresee
from colonnade_tenants.entitlements.model import ALWAYS, Facts, Grant, Item, Pending, Plan, Policy, Subscription
from tests.tenants.payloads import MONTH, PERIOD_END, START, moment

DAY = 86_400
NOW = START + 10 * DAY
PLANS = (
    Plan("basic", "price_basic", None, (Grant("export", "flag", 1), Grant("seats", "quantity", 1, True))),
    Plan("pro", "price_pro", None, (Grant("export", "flag", 1), Grant("seats", "quantity", 10, True))),
    Plan("addon", "price_addon", None, (Grant("seats", "quantity", 5),)),
)


def item(name: str = "1", price: str = "price_basic", quantity: int = 2, end: int = PERIOD_END) -> Item:
    return Item(f"si_{name}", price, price.replace("price", "prod"), quantity, moment(end))


def subscription(status: str = "active", **changes: Any) -> Subscription:
    items = changes.pop("items", (item(),))
    return Subscription(id="sub_1", status=status, started_at=moment(START), items=items, event="evt_1", **changes)


def seats(at: int, *facts: Subscription, policies: tuple[Policy, ...] = ()) -> int | None:
    """The seats at a moment; None: not granted."""
    row = held(compute(Facts(facts, PLANS, policies)), "seats", moment(at))
    return None if row is None else row.value


class Row(NamedTuple):
    """What holds now, and from another moment on."""

    facts: Subscription
    now: int | None
    then: tuple[int, int | None]


WEEK = Policy()
PATIENT = Policy(None)
PAID_ONLY = Policy(trials=False)
STRICT = Policy(paused="suspends")
ENDS = moment(PERIOD_END)
SINCE = moment(NOW - DAY)

ROWS: dict[str, Row] = {
    "trialing": Row(subscription("trialing", trial_end=ENDS), 2, (PERIOD_END, 2)),
    "active": Row(subscription(), 2, (PERIOD_END + MONTH, 2)),
    "past_due in grace": Row(subscription("past_due", past_due_since=SINCE), 2, (NOW + 6 * DAY, None)),
    "past_due after grace": Row(subscription("past_due", past_due_since=moment(NOW - 8 * DAY)), None, (NOW + 1, None)),
    "unpaid": Row(subscription("unpaid"), None, (PERIOD_END, None)),
    "incomplete": Row(subscription("incomplete"), None, (PERIOD_END, None)),
    "incomplete, 23 hours later": Row(subscription("incomplete_expired"), None, (PERIOD_END, None)),
    "paused": Row(subscription("paused"), None, (PERIOD_END, None)),
    "canceled": Row(subscription("canceled", ended_at=moment(NOW)), None, (NOW + 1, None)),
    "portal, flexible billing: cancel_at alone": Row(subscription(cancel_at=ENDS), 2, (PERIOD_END, None)),
    "portal, classic billing: flag and cancel_at": Row(
        subscription(cancel_at=ENDS, cancel_at_period_end=True), 2, (PERIOD_END, None)
    ),
    "the flag alone": Row(subscription(cancel_at_period_end=True), 2, (PERIOD_END, None)),
    "the flag, mixed intervals: until the longest": Row(
        subscription(cancel_at_period_end=True, items=(item(), item("2", "price_addon", 1, PERIOD_END + MONTH))),
        7,
        (PERIOD_END + MONTH - 1, 7),
    ),
    "reactivated: both cleared": Row(subscription(cancel_at=None), 2, (PERIOD_END + MONTH, 2)),
    "canceled in a trial: until its end": Row(
        subscription("trialing", trial_end=ENDS, cancel_at=ENDS), 2, (PERIOD_END, None)
    ),
    "trial ended by a switch: active on the new price": Row(
        subscription(trial_end=moment(NOW - 1), items=(item(price="price_pro", quantity=1),)), 10, (PERIOD_END, 10)
    ),
    "quantity changed": Row(subscription(items=(item(quantity=7),)), 7, (PERIOD_END, 7)),
    "an add-on is one item more": Row(subscription(items=(item(), item("2", "price_addon", 3))), 7, (PERIOD_END, 7)),
    "deferred downgrade: the items decide": Row(
        subscription(
            items=(item(price="price_pro", quantity=1),),
            pending=Pending("sub_sched_1", ENDS, (Item("sub_sched_1", "price_basic", "prod_basic", 1),)),
        ),
        10,
        (PERIOD_END + 1, 10),
    ),
    "pending update, not paid yet: the items are the old ones": Row(subscription(), 2, (PERIOD_END, 2)),
    "pause_collection: it stays active": Row(subscription(pause_behavior="void"), 2, (PERIOD_END, 2)),
    "resumed from paused": Row(subscription(), 2, (PERIOD_END, 2)),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_a_state_of_stripes_means_by_default(name: str) -> None:
    row = ROWS[name]
    assert seats(NOW, row.facts) == row.now
    assert seats(row.then[0], row.facts) == row.then[1]


@pytest.mark.parametrize(("policy", "later"), [(WEEK, None), (PATIENT, 2), (Policy(timedelta(0)), None)])
def test_grace_is_the_tenants(policy: Policy, later: int | None) -> None:
    due = subscription("past_due", past_due_since=moment(NOW))
    assert seats(NOW + 300 * DAY, due, policies=(policy,)) == later
    assert seats(NOW - 1, due, policies=(policy,)) == 2
    assert seats(NOW, due, policies=(policy,)) == (None if policy.grace == timedelta(0) else 2)


def test_a_deadline_that_runs_is_not_moved_by_a_later_policy() -> None:
    week, day = WEEK, Policy(timedelta(days=1), version=1, since=moment(NOW))
    before, after = (subscription("past_due", past_due_since=moment(NOW + step)) for step in (-1, 0))
    assert seats(NOW + 5 * DAY, before, policies=(week, day)) == 2
    assert seats(NOW + 5 * DAY, after, policies=(week, day)) is None


def test_a_trial_grants_where_the_policy_says_so_and_from_when() -> None:
    trial = subscription("trialing", trial_end=ENDS)
    assert seats(NOW, trial, policies=(PAID_ONLY,)) is None
    changed = (PAID_ONLY, Policy(version=1, since=moment(NOW)))
    assert [seats(at, trial, policies=changed) for at in (NOW - 1, NOW)] == [None, 2]


def test_pause_collection_suspends_where_the_policy_says_so_until_it_resumes() -> None:
    for_good, for_a_while = (subscription(pause_behavior="void", pause_resumes_at=at) for at in (None, ENDS))
    assert seats(NOW, for_good, policies=(STRICT,)) is None
    assert seats(PERIOD_END + MONTH, for_good, policies=(STRICT,)) is None
    assert [seats(at, for_a_while, policies=(STRICT,)) for at in (PERIOD_END - 1, PERIOD_END)] == [None, 2]
    assert seats(NOW, subscription(), policies=(STRICT,)) == 2


def test_what_is_foreseen_counts_on_what_stripe_announced() -> None:
    deferred = ROWS["deferred downgrade: the items decide"].facts
    trial = subscription("trialing", trial_end=ENDS)
    facts = Facts((deferred,), PLANS)
    found = compute(foresee(facts))
    assert [held(found, "seats", moment(at)).value for at in (NOW, PERIOD_END - 1, PERIOD_END)] == [10, 10, 1]  # type: ignore[union-attr]
    paid = compute(foresee(Facts((trial,), PLANS, (PAID_ONLY,))))
    assert [held(paid, "seats", moment(at)) is not None for at in (PERIOD_END - 1, PERIOD_END)] == [False, True]
    taken_back = msgspec.structs.replace(trial, cancel_at=ENDS)
    assert held(compute(foresee(Facts((taken_back,), PLANS))), "seats", ENDS) is None


WHY: dict[str, tuple[Subscription, Policy, int]] = {
    "status": (subscription("unpaid"), WEEK, NOW),
    "not_begun": (subscription(), WEEK, START - 1),
    "ended": (subscription(cancel_at=moment(NOW)), WEEK, NOW),
    "grace_ended": (subscription("past_due", past_due_since=moment(NOW - 7 * DAY)), WEEK, NOW),
    "trial": (subscription("trialing", trial_end=ENDS), PAID_ONLY, NOW),
    "collection_paused": (subscription(pause_behavior="void"), STRICT, NOW),
    "no_plan": (subscription(items=(item(price="price_unknown"),)), WEEK, NOW),
}


@pytest.mark.parametrize("why", WHY)
def test_what_grants_nothing_says_why(why: str) -> None:
    facts, policy, at = WHY[why]
    found = explain(Facts((facts,), PLANS, (policy,)), ["export"], moment(at))["export"]
    assert found.row is None
    assert [(idle.why, idle.item, idle.subscription, idle.event) for idle in found.idle] == [
        (why, "si_1", "sub_1", "evt_1")
    ]


def test_every_value_says_what_it_comes_from() -> None:
    due = subscription("past_due", past_due_since=moment(NOW), items=(item(), item("2", "price_addon")))
    found = explain(Facts((due,), PLANS, (WEEK,)), ["seats", "export"], moment(NOW))["seats"]
    assert (found.row.value if found.row else None, found.rule, found.idle) == (7, "sum", [])
    basic, addon = found.because
    deadline = moment(NOW + 7 * DAY)
    assert (basic.item, basic.price, basic.plan, basic.plan_version, basic.matched) == (
        "si_1",
        "price_basic",
        "basic",
        1,
        "price",
    )
    assert (basic.rule, basic.grace_until, basic.ends_by, basic.event) == ("grace", deadline, "grace", "evt_1")
    assert (basic.quantity, basic.per_unit, basic.value, addon.per_unit, addon.value) == (2, 1, 2, None, 5)


def test_a_plans_versions_hold_one_after_the_other_and_the_last_word_about_a_time_counts() -> None:
    def version(number: int, since: datetime, seats: int) -> Plan:
        return Plan("basic", "price_basic", None, (Grant("seats", "quantity", seats),), number, since)

    first, planned, instead = version(1, ALWAYS, 1), version(2, moment(NOW + DAY), 2), version(3, moment(NOW), 3)
    rows = compute(Facts((subscription(),), (first, planned)))
    assert [(row.value, row.valid_from, row.valid_until) for row in rows] == [
        (1, moment(START), moment(NOW + DAY)),
        (2, moment(NOW + DAY), None),
    ]
    rows = compute(Facts((subscription(),), (first, planned, instead)))
    assert [(row.value, row.valid_until) for row in rows] == [(1, moment(NOW)), (3, None)]

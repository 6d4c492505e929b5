"""What holds of entitlements whatever the subscriptions, plans, overrides and policies are."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colonnade_tenants.entitlements.compute import compute, held
from colonnade_tenants.entitlements.model import (
    ALWAYS,
    FOREVER,
    RULES,
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
from colonnade_tenants.entitlements.spans import granted_spans
from colonnade_tenants.entitlements.versions import in_effect
from tests.tenants.payloads import START, moment

pytestmark = pytest.mark.slow

STATUSES = ["active", "trialing", "past_due", "unpaid", "paused", "canceled", "incomplete"]
KINDS: dict[str, Any] = {"export": "flag", "projects": "limit", "seats": "quantity"}

# Few moments, close to each other: ends and starts meet, which is where intervals go wrong.
moments = st.integers(0, 12).map(lambda day: moment(START + day * 86_400))
items = st.builds(
    Item,
    id=st.sampled_from(["si_1", "si_2", "si_3", "si_4"]),
    price=st.sampled_from(["price_a", "price_b"]),
    product=st.sampled_from(["prod_a", "prod_b"]),
    quantity=st.integers(0, 5),
    current_period_end=moments,
)
subscriptions = st.lists(
    st.builds(
        Subscription,
        status=st.sampled_from(STATUSES),
        started_at=moments,
        cancel_at=st.none() | moments,
        cancel_at_period_end=st.booleans(),
        ended_at=st.none() | moments,
        past_due_since=st.none() | moments,
        pause_behavior=st.none() | st.just("void"),
        pause_resumes_at=st.none() | moments,
        items=st.lists(items, max_size=2, unique_by=lambda item: item.id).map(tuple),
    ),
    max_size=3,
).map(tuple)
values = {"export": st.just(1), "projects": st.none() | st.integers(0, 9), "seats": st.integers(0, 9)}


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    feature = draw(st.sampled_from(sorted(KINDS)))
    value = draw(values[feature])
    return Grant(feature, KINDS[feature], value, feature != "export" and value is not None and draw(st.booleans()))


granted = st.lists(grants(), max_size=3, unique_by=lambda grant: grant.feature).map(tuple)


def versions(draw: st.DrawFn) -> list[tuple[int, datetime]]:
    """Versions of one thing: each begins when, or after, the one before did."""
    return list(enumerate([ALWAYS, *sorted(draw(st.lists(moments, max_size=1)))], 1))


SOLD = (("a", "price_a", None), ("b", "price_b", None), ("c", None, "prod_a"), ("d", None, "prod_b"))


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[Plan, ...]:
    keys = draw(st.sets(st.sampled_from(SOLD)))
    return tuple(
        Plan(*name, draw(granted), number, since) for name in sorted(keys, key=str) for number, since in versions(draw)
    )


@st.composite
def policies(draw: st.DrawFn) -> tuple[Policy, ...]:
    graces = st.none() | st.integers(0, 9).map(lambda days: timedelta(days=days))
    return tuple(
        Policy(draw(graces), draw(st.booleans()), draw(st.sampled_from(["grants", "suspends"])), number, since)
        for number, since in versions(draw)
    )


@st.composite
def decided(draw: st.DrawFn) -> tuple[Override, ...]:
    found = []
    for number in range(draw(st.integers(0, 3))):
        feature = draw(st.sampled_from(sorted(KINDS)))
        effect = draw(st.sampled_from(["grant", "set", "deny"]))
        value = 0 if effect == "deny" else draw(values[feature])
        end = draw(st.just(FOREVER) | moments)
        found.append(Override(f"ovr_{number}", feature, KINDS[feature], effect, value, draw(moments), end))
    return tuple(found)


@st.composite
def combined(draw: st.DrawFn) -> tuple[Combination, ...]:
    features = draw(st.sets(st.sampled_from(sorted(KINDS))))
    return tuple(
        Combination(feature, draw(st.sampled_from(RULES[KINDS[feature]])), number, since)
        for feature in sorted(features)
        for number, since in versions(draw)
    )


facts = st.builds(
    Facts,
    subscriptions=subscriptions,
    plans=catalogues(),
    policies=policies(),
    overrides=decided(),
    combinations=combined(),
)


def instants(found: list[Entitlement], *more: datetime) -> list[datetime]:
    edges = {edge for row in found for edge in (row.valid_from, row.valid_until) if edge is not None}
    around = {
        edge + timedelta(microseconds=step)
        for edge in edges | {m for m in more if m not in (ALWAYS, FOREVER)}
        if edge not in (ALWAYS, FOREVER)
        for step in (-1, 0, 1)
    }
    return sorted(around) or [moment(START)]


def at(found: list[Entitlement], feature: str, time: datetime) -> Entitlement | None:
    several = [
        row
        for row in found
        if row.feature == feature and row.valid_from <= time and (row.valid_until is None or time < row.valid_until)
    ]
    assert len(several) <= 1, "two intervals of one feature overlap"
    assert held(found, feature, time) == (several[0] if several else None)
    return several[0] if several else None


@settings(max_examples=60)
@given(facts, st.data())
def test_order_does_not_matter(one: Facts, data: st.DataObject) -> None:
    def shuffled(things: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(data.draw(st.permutations(things)))

    other = Facts(
        tuple(msgspec.structs.replace(each, items=shuffled(each.items)) for each in shuffled(one.subscriptions)),
        tuple(msgspec.structs.replace(each, grants=shuffled(each.grants)) for each in shuffled(one.plans)),
        shuffled(one.policies),
        shuffled(one.overrides),
        shuffled(one.combinations),
    )
    assert compute(other) == compute(one)


@settings(max_examples=60)
@given(facts)
def test_the_same_facts_give_the_same_and_saying_one_twice_adds_nothing(one: Facts) -> None:
    assert compute(one) == compute(one)
    again = msgspec.structs.replace(one, plans=one.plans * 2, policies=one.policies * 2)
    assert compute(again) == compute(one)


def expected(facts: Facts, feature: str, time: datetime) -> tuple[bool, int | None]:
    """What holds at one moment, by asking each thing about that moment alone."""
    valid = [one for one in facts.overrides if one.feature == feature and one.start <= time < one.end]
    if any(one.effect == "deny" for one in valid):
        return True, 0
    if given := [one for one in valid if one.effect == "set"]:
        return True, max(given, key=lambda one: (one.start, one.id)).value
    found = [one.value for one in valid]
    for subscription in facts.subscriptions:
        if not any(span.start <= time < span.end for span in granted_spans(subscription, facts.policies)):
            continue
        for item in subscription.items:
            found += [
                grant.value * item.quantity if grant.per_unit and grant.value is not None else grant.value
                for grant in _meant(facts.plans, item, time)
                if grant.feature == feature
            ]
    if not found:
        return False, None
    rule = in_effect([each for each in facts.combinations if each.feature == feature], time)
    numbers = [value for value in found if value is not None]
    if len(numbers) < len(found):
        return True, None
    return True, (sum if (rule.rule if rule else RULES[KINDS[feature]][0]) == "sum" else max)(numbers)


def _meant(plans: tuple[Plan, ...], item: Item, time: datetime) -> tuple[Grant, ...]:
    now = [in_effect([plan for plan in plans if plan.key == key], time) for key in {plan.key for plan in plans}]
    of_price = [plan for plan in now if plan and plan.price == item.price]
    of_product = [plan for plan in now if plan and plan.product == item.product]
    return (of_price or of_product)[0].grants if of_price or of_product else ()


@settings(max_examples=60)
@given(facts)
def test_at_each_moment_exactly_what_counts_then_counts(one: Facts) -> None:
    found = compute(one)
    more = [edge for each in one.overrides for edge in (each.start, each.end)]
    for feature in KINDS:
        for time in instants(found, *more, *(plan.since for plan in one.plans)):
            row = at(found, feature, time)
            assert (row is not None, row.value if row else None) == expected(one, feature, time)


@settings(max_examples=60)
@given(facts)
def test_intervals_are_half_open_apart_and_of_some_length(one: Facts) -> None:
    found = compute(one)
    assert found == sorted(found, key=lambda row: (row.feature, row.valid_from))
    for row in found:
        assert row.sources == tuple(sorted(set(row.sources)))
        assert row.valid_until is None or row.valid_from < row.valid_until
        assert at(found, row.feature, row.valid_from) == row
        if row.valid_until is not None:
            after = at(found, row.feature, row.valid_until)
            assert at(found, row.feature, row.valid_until - timedelta(microseconds=1)) == row
            assert after != row
            assert after is None or (after.value, after.sources) != (row.value, row.sources), "not joined"


def takes_nothing_away(more: list[Entitlement], less: list[Entitlement]) -> None:
    """Whenever *less* grants something, *more* grants at least as much."""
    edges = sorted({edge for row in (*more, *less) for edge in (row.valid_from, row.valid_until) if edge is not None})
    for feature in KINDS:
        for time in edges:
            if (had := at(less, feature, time)) is None:
                continue
            has = at(more, feature, time)
            assert has is not None
            assert has.value is None or (had.value is not None and has.value >= had.value)


@settings(max_examples=60)
@given(facts, granted)
def test_a_richer_plan_takes_nothing_away(one: Facts, more: tuple[Grant, ...]) -> None:
    def richer(plan: Plan) -> Plan:
        own = {grant.feature for grant in plan.grants}
        added = tuple(grant for grant in more if grant.feature not in own)
        return msgspec.structs.replace(plan, grants=plan.grants + added)

    rich = msgspec.structs.replace(one, plans=tuple(map(richer, one.plans)))
    takes_nothing_away(compute(rich), compute(one))


@settings(max_examples=60)
@given(facts, subscriptions)
def test_a_further_subscription_takes_nothing_away(one: Facts, further: tuple[Subscription, ...]) -> None:
    more = msgspec.structs.replace(one, subscriptions=one.subscriptions + further)
    takes_nothing_away(compute(more), compute(one))


@settings(max_examples=60)
@given(facts, st.integers(0, 30), st.integers(0, 30))
def test_longer_grace_takes_nothing_away(one: Facts, days: int, more: int) -> None:
    def with_grace(days: int | None) -> list[Entitlement]:
        grace = None if days is None else timedelta(days=days)
        patient = tuple(msgspec.structs.replace(policy, grace=grace) for policy in one.policies)
        return compute(msgspec.structs.replace(one, policies=patient))

    takes_nothing_away(with_grace(days + more), with_grace(days))
    takes_nothing_away(with_grace(None), with_grace(days + more))


@settings(max_examples=60)
@given(facts, decided())
def test_a_denial_beats_whatever_grants(one: Facts, more: tuple[Override, ...]) -> None:
    denials = tuple(msgspec.structs.replace(each, id=f"ovr_x{n}", effect="deny") for n, each in enumerate(more))
    found = compute(msgspec.structs.replace(one, overrides=one.overrides + denials))
    for denial in denials:
        if denial.start < denial.end:
            row = at(found, denial.feature, denial.start)
            assert row is not None
            assert row.value == 0
            assert denial.id in row.sources
            assert not {source for source in row.sources if source.startswith("si_")}


@settings(max_examples=60)
@given(facts, catalogues())
def test_a_later_version_never_changes_what_was_before_it(one: Facts, later: tuple[Plan, ...]) -> None:
    since = moment(START + 6 * 86_400)
    newer = tuple(
        msgspec.structs.replace(plan, version=plan.version + 10, since=max(plan.since, since)) for plan in later
    )
    before, after = compute(one), compute(msgspec.structs.replace(one, plans=one.plans + newer))
    for feature in KINDS:
        for time in instants(before + after):
            if time < since:
                was, now = at(before, feature, time), at(after, feature, time)
                assert (was and (was.value, was.sources)) == (now and (now.value, now.sources))

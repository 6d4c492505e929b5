"""What holds of entitlements whatever the subscriptions and plans are."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from colonnade_tenants.entitlements.compute import (
    Entitlement,
    Grant,
    Item,
    Plan,
    Policy,
    Subscription,
    compute,
    granted_span,
)
from tests.tenants.payloads import START, moment

POLICY = Policy()
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
        items=st.lists(items, max_size=3, unique_by=lambda item: item.id).map(tuple),
    ),
    max_size=4,
)


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    feature = draw(st.sampled_from(sorted(KINDS)))
    if feature == "export":
        return Grant(feature, "flag", 1)
    value = draw(st.integers(0, 9) if feature == "seats" else st.none() | st.integers(0, 9))
    return Grant(feature, KINDS[feature], value, value is not None and draw(st.booleans()))


granted = st.lists(grants(), max_size=3, unique_by=lambda grant: grant.feature).map(tuple)
plans = st.lists(
    st.builds(Plan, price=st.sampled_from(["price_a", "price_b"]), product=st.none(), grants=granted)
    | st.builds(Plan, price=st.none(), product=st.sampled_from(["prod_a", "prod_b"]), grants=granted),
    max_size=4,
    unique_by=lambda plan: (plan.price, plan.product),
)


def at(found: list[Entitlement], feature: str, time: datetime) -> Entitlement | None:
    held = [
        row
        for row in found
        if row.feature == feature and row.valid_from <= time and (row.valid_until is None or time < row.valid_until)
    ]
    assert len(held) <= 1, "two intervals of one feature overlap"
    return held[0] if held else None


@given(subscriptions, plans, st.data())
def test_order_does_not_matter(subscribed: list[Subscription], sold: list[Plan], data: st.DataObject) -> None:
    shuffled = [
        Subscription(**{**_fields(one), "items": tuple(data.draw(st.permutations(one.items)))})
        for one in data.draw(st.permutations(subscribed))
    ]
    reordered = [
        Plan(plan.price, plan.product, tuple(data.draw(st.permutations(plan.grants))))
        for plan in data.draw(st.permutations(sold))
    ]
    assert compute(shuffled, reordered, POLICY) == compute(subscribed, sold, POLICY)


def _fields(subscription: Subscription) -> dict[str, Any]:
    return {name: getattr(subscription, name) for name in Subscription.__struct_fields__}


@given(subscriptions, plans)
def test_a_feature_holds_exactly_while_something_grants_it(subscribed: list[Subscription], sold: list[Plan]) -> None:
    found = compute(subscribed, sold, POLICY)
    prices, products = {plan.price: plan for plan in sold}, {plan.product: plan for plan in sold}
    edges = {edge for row in found for edge in (row.valid_from, row.valid_until) if edge is not None}
    instants = [edge + timedelta(seconds=s) for edge in edges for s in (-1, 0, 1)] or [moment(START)]
    for feature, kind in KINDS.items():
        for time in instants:
            values = []
            for subscription in subscribed:
                span = granted_span(subscription, POLICY)
                if span is None or time < span[0] or (span[1] is not None and time >= span[1]):
                    continue
                for item in subscription.items:
                    plan = prices.get(item.price) or products.get(item.product)
                    values += [
                        grant.value * item.quantity if grant.per_unit and grant.value is not None else grant.value
                        for grant in (plan.grants if plan else ())
                        if grant.feature == feature
                    ]
            held = at(found, feature, time)
            assert (held is not None) == bool(values)
            if held is not None:
                numbers = [value for value in values if value is not None]
                expected = sum(numbers) if kind == "quantity" else max(numbers, default=0)
                assert held.value == (None if None in values else expected)


@given(subscriptions, plans)
def test_intervals_are_half_open_apart_and_of_some_length(subscribed: list[Subscription], sold: list[Plan]) -> None:
    found = compute(subscribed, sold, POLICY)
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


@given(subscriptions, plans, granted)
def test_a_richer_plan_takes_nothing_away(
    subscribed: list[Subscription], sold: list[Plan], more: tuple[Grant, ...]
) -> None:
    def richer(plan: Plan) -> Plan:
        own = {grant.feature for grant in plan.grants}
        return Plan(plan.price, plan.product, plan.grants + tuple(grant for grant in more if grant.feature not in own))

    rich = compute(subscribed, [richer(plan) for plan in sold], POLICY)
    takes_nothing_away(rich, compute(subscribed, sold, POLICY))


@given(subscriptions, subscriptions, plans)
def test_a_further_subscription_takes_nothing_away(
    some: list[Subscription], further: list[Subscription], sold: list[Plan]
) -> None:
    takes_nothing_away(compute([*some, *further], sold, POLICY), compute(some, sold, POLICY))


@given(subscriptions, plans, st.integers(0, 30), st.integers(0, 30))
def test_longer_grace_takes_nothing_away(
    subscribed: list[Subscription], sold: list[Plan], days: int, more: int
) -> None:
    short = compute(subscribed, sold, Policy(timedelta(days=days)))
    takes_nothing_away(compute(subscribed, sold, Policy(timedelta(days=days + more))), short)

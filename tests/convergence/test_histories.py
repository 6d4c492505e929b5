"""Generated histories: however their events arrive, doubled, dropped and swept up, they end in the one true state."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.convergence.crowd import Arrival, Crowd, digest
from tests.convergence.deeds import EVERYTHING, beginning, possible
from tests.convergence.model import DAY, Model
from tests.convergence.truth import expected, shown

WAYS = 6
"""Tenants that hear of one history, each in a way of its own."""
PAUSES = st.sampled_from([0, 0, 0, 1, 3600, 2 * DAY])
SKEWS = st.dictionaries(st.sampled_from(["cus_1", "sub_1", "sub_2", "in_1", "pm_1", "txi_1"]), st.integers(-60, 60))
EXAMPLES = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def histories(draw: st.DrawFn) -> Model:
    stripe = beginning(draw(SKEWS))
    for _ in range(draw(st.integers(2, 8))):
        if not (choice := possible(stripe)):
            break
        stripe.now += draw(PAUSES)
        name = draw(st.sampled_from(choice))
        note(f"at {stripe.now}: {name}")
        EVERYTHING[name](stripe)
    return stripe


@st.composite
def arrivals(draw: st.DrawFn, events: int, *, dropping: bool) -> Arrival:
    """The events in any order, some twice, some never, in portions."""
    order = list(draw(st.permutations(range(events))))
    if dropping:
        dropped = draw(st.sets(st.sampled_from(order)))
        order = [event for event in order if event not in dropped]
    order += draw(st.lists(st.sampled_from(order), max_size=3)) if order else []
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(order))), max_size=len(order))))
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


def ways(stripe: Model, data: st.DataObject, *, dropping: bool = False) -> list[Any]:
    """As it happened, event by event, and others."""
    count = len(stripe.events)
    drawn = [data.draw(arrivals(count, dropping=dropping), label="arrival") for _ in range(WAYS)]
    return [[[event] for event in range(count)], *drawn]


def check(stripe: Model, arrived: list[Any], ends: list[dict[str, Any]]) -> None:
    for way, end in zip(arrived, ends, strict=True):
        assert shown(end) == expected(stripe), way
        assert digest(end) == digest(ends[0]), way


@pytest.mark.parametrize("custody", ["direct", "destination"])
@EXAMPLES
@given(histories(), st.data())
async def test_every_way_to_hear_of_a_history_ends_in_the_true_state(
    tenants: Crowd, custody: str, stripe: Model, data: st.DataObject
) -> None:
    arrived = ways(stripe, data)
    check(stripe, arrived, await tenants.ends(stripe, arrived, custody))


@EXAMPLES
@given(histories(), st.data())
async def test_whatever_was_dropped_a_sweep_leads_to_the_true_state(
    tenants: Crowd, stripe: Model, data: st.DataObject
) -> None:
    arrived = ways(stripe, data, dropping=True)
    check(stripe, arrived, await tenants.ends(stripe, arrived, swept_after=True))

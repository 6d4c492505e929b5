"""Since when a subscription is past due, whatever order its events are weighed in."""

from itertools import permutations

import pytest

from colonnade_tenants.subscriptions.past_due import PastDue, past_due
from tests.tenants.payloads import moment

# (time, status is past due, it was not just before)
HISTORIES = {
    "stayed": [(1, False, False), (2, True, True), (3, True, False), (4, True, False)],
    "came back": [(1, False, False), (2, True, True), (3, False, False), (4, True, True), (5, True, False)],
    "recovered": [(1, False, False), (2, True, True), (3, True, False), (4, False, False)],
}


def heard(order: tuple[tuple[int, bool, bool], ...]) -> PastDue:
    held, newest, now = PastDue(), 0, False
    for at, said, brought in order:
        if at > newest:
            newest, now = at, said
        held = past_due(held, now=now, at=moment(at), said=said, brought=brought)
    return held


@pytest.mark.parametrize(("history", "since"), [("stayed", 2), ("came back", 4), ("recovered", None)])
def test_every_order_finds_the_event_that_brought_it(history: str, since: int | None) -> None:
    expected = PastDue() if since is None else PastDue(moment(since), exact=True)
    for order in permutations(HISTORIES[history]):
        assert heard(order) == expected, order
        assert heard((*order, *order[:2])) == expected, order


def test_while_that_event_is_missing_the_earliest_that_said_so_counts() -> None:
    rest = HISTORIES["stayed"][2:]
    for order in permutations(rest):
        assert heard(order) == PastDue(moment(3), exact=False)


def test_a_state_that_was_read_counts_from_the_event_that_led_to_the_read() -> None:
    assert past_due(PastDue(), now=True, at=moment(7), said=False, brought=False) == PastDue(moment(7))

"""Which snapshot is the later, decided without a clock of ours."""

from collections.abc import Iterable
from datetime import timedelta
from itertools import pairwise, permutations, product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from colonnade_tenants.order import NOTHING, Stamp, digest, rewind, weigh
from tests.tenants.payloads import START, moment

NOW = moment(START)
LATER = NOW + timedelta(seconds=1)


def name(state: bytes | str) -> bytes:
    """Instead of a state's digest, as long as one; more letters than one are states in a row."""
    letters = state.decode() if isinstance(state, bytes) else state
    return b"".join(letter.encode() * 16 for letter in letters)


def stamp(facts: str, before: bytes | None = None, *, later: bool = False, stage: int = 0) -> Stamp:
    return Stamp(LATER if later else NOW, stage, name(facts), None if before is None else name(before))


def supersedes(new: Stamp, old: Stamp) -> bool | None:
    return weigh(new, old).news


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (stamp("b", later=True), stamp("a"), True),
        (stamp("a"), stamp("b", later=True), False),
        (stamp("a", later=True), stamp("a"), True),
        (stamp("e", stage=1), stamp("b", later=True), True),
        (stamp("b", later=True), stamp("e", stage=1), False),
        (stamp("f", stage=1, later=True), stamp("e", stage=1), True),
        (stamp("p", stage=3), stamp("o", stage=1), True),
        (stamp("o", stage=1, later=True), stamp("p", stage=3), False),
        (stamp("a", b"z"), stamp("a", b"y"), False),
        (stamp("b", b"a"), stamp("a", b"z"), True),
        (stamp("a", b"z"), stamp("b", b"a"), False),
        (stamp("b"), stamp("a", NOTHING), True),
        (stamp("a", NOTHING), stamp("b"), False),
        (stamp("c", b"b"), stamp("a", NOTHING), True),
        (stamp("b", b"a"), stamp("a"), None),
        (stamp("b"), stamp("a", b"z"), None),
        (stamp("c", b"b"), stamp("a", b"z"), None),
        (stamp("b", b"a"), stamp("c", b"ab"), False),
        (stamp("a", b"z"), stamp("c", b"ab"), False),
        (stamp("d", b"c"), stamp("c", b"ab"), True),
        (stamp("a", b"c"), stamp("c", b"ab"), None),
        (stamp("a", b"z"), stamp("c", b"zab"), False),
        (stamp("b", b"z"), stamp("c", b"ab"), None),
        (stamp("a", b"b"), stamp("b", b"a"), None),
        (stamp("a", NOTHING), stamp("b", NOTHING), None),
    ],
)
def test_the_rules(new: Stamp, old: Stamp, expected: bool | None) -> None:
    assert supersedes(new, old) is expected


stamps = st.builds(
    Stamp,
    st.sampled_from([NOW, LATER]),
    st.integers(0, 3),
    st.sampled_from([name("a"), name("b"), name("c")]),
    st.sampled_from([None, NOTHING, name("a"), name("b"), name("c")]),
)


@given(stamps, stamps)
def test_two_snapshots_are_never_both_the_later(one: Stamp, two: Stamp) -> None:
    forward, backward = supersedes(one, two), supersedes(two, one)
    same = (one.created, one.stage, one.facts) == (two.created, two.stage, two.facts)
    assert (forward, backward) == (False, False) if same else (forward is None) == (backward is None)
    assert not (forward and backward)
    assert same or forward is not False or backward is True


@pytest.mark.parametrize(
    ("new", "old", "before"),
    [
        (stamp("a", b"z"), stamp("a", b"z"), b"z"),
        (stamp("a", b"a"), stamp("a", b"z"), b"z"),
        (stamp("a", b"z"), stamp("a", b"a"), b"z"),
        (stamp("a", b"a"), stamp("a", NOTHING), NOTHING),
        (stamp("a", b"b"), stamp("a", b"z"), None),
        (stamp("a"), stamp("a", b"z"), None),
        (stamp("a", b"z"), stamp("a"), None),
        (stamp("c", b"b"), stamp("c", b"ab"), b"ab"),
        (stamp("c", b"z"), stamp("c", b"ab"), None),
    ],
)
def test_what_led_to_facts_that_two_events_share(new: Stamp, old: Stamp, before: bytes | None) -> None:
    assert weigh(new, old) == (False, None if before is None else name(before))


def chain(states: Iterable[str], *, made: bool = True) -> list[Stamp]:
    """The events of an object that passed through *states* within one second; else it was at the first before."""
    if made:
        return [stamp(state, before) for state, before in zip(states, [b"", *map(str.encode, states)], strict=False)]
    return [stamp(now, before.encode()) for before, now in pairwise(states)]


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=6, unique=True), st.data())
def test_what_it_decides_within_a_second_is_true(states: list[str], data: st.DataObject) -> None:
    events = chain(states)
    first, second = sorted(data.draw(st.permutations(range(len(events))))[:2])
    assert supersedes(events[second], events[first]) in (True, None)
    assert supersedes(events[first], events[second]) in (False, None)
    if second == first + 1 or first == 0:
        assert supersedes(events[second], events[first]) is True


def settled(order: tuple[Stamp, ...], truth: bytes) -> bytes:
    """Where a mirror ends that hears the events of one second in this *order*, reading where they cannot tell."""
    held = order[0]
    for event in order[1:]:
        news, before = weigh(event, held)
        facts = truth if news is None else event.facts if news else held.facts
        held = Stamp(NOW, 0, facts, before)
    return held.facts


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("states", ["ab", "abc", "abcd", "aba", "abab", "abcb", "aabb", "abca", "abcda", "ababa"])
def test_every_order_within_a_second_ends_in_the_last_state(states: str, made: bool) -> None:
    events = chain(states, made=made)
    for order in permutations(events):
        assert settled(order, events[-1].facts) == name(states[-1]), order


@given(st.text("abcd", min_size=2, max_size=7), st.booleans(), st.data())
def test_any_way_through_states_within_a_second_ends_in_the_last(states: str, made: bool, data: st.DataObject) -> None:
    events = chain(states, made=made)
    twice = data.draw(st.lists(st.sampled_from(events), max_size=3))
    order = data.draw(st.permutations([*events, *twice]))
    assert settled(tuple(order), name(states[-1])) == name(states[-1])


@given(st.lists(st.sampled_from("abcde"), min_size=2, max_size=5, unique=True), st.data())
def test_repeated_events_change_nothing(states: list[str], data: st.DataObject) -> None:
    events = chain(states)
    repeated = data.draw(st.lists(st.sampled_from(events), min_size=1, max_size=4))
    order = data.draw(st.permutations([*events, *repeated]))
    assert settled(tuple(order), events[-1].facts) == events[-1].facts


json = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)


def difference(old: dict[str, object], new: dict[str, object]) -> dict[str, object]:
    """What Stripe would call previous attributes, for objects with the same keys."""
    found: dict[str, object] = {}
    for key, value in old.items():
        now = new[key]
        if isinstance(value, dict) and isinstance(now, dict) and value.keys() == now.keys():
            if value != now:
                found[key] = difference(value, now)
        elif value != now:
            found[key] = value
    return found


@given(st.dictionaries(st.sampled_from("abc"), json), st.dictionaries(st.sampled_from("abc"), json))
def test_rewinding_gives_the_object_as_it_was(old: dict[str, object], new: dict[str, object]) -> None:
    new = {**old, **{key: value for key, value in new.items() if key in old}}
    assume(all(not isinstance(old[key], dict) or not isinstance(new[key], dict) or _alike(old, new) for key in old))
    assert rewind(new, difference(old, new)) == old


def _alike(one: object, two: object) -> bool:
    """Whether the objects in both have the same keys, as Stripe's have."""
    if not (isinstance(one, dict) and isinstance(two, dict)):
        return True
    return one.keys() == two.keys() and all(_alike(one[key], two[key]) for key in one)


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert len({digest(value) for value in product([1, 2], repeat=2)}) == 4

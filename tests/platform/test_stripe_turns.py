"""Who goes next, how fast, and whether Stripe is asked at all: the budget's rules, with a clock of the test's own."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from colonnade.settings import Settings
from colonnade.stripe_api.breaker import ALONE, FAILURES, LONGEST, PROBE, SHORTEST, Breaker, State
from colonnade.stripe_api.bucket import RECOVERY, Bucket
from colonnade.stripe_api.calls import Call, Priority
from colonnade.stripe_api.limits import SHARES, Limits, endpoint, kind
from colonnade.stripe_api.turns import EIGHTH, Ticket, Turns

LIMITS = st.sampled_from([1.0, 5.0, 12.5, 25.0, 100.0])
STEPS = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40)), min_size=1, max_size=30)
"""Pauses, and how many calls would like to go after each."""


def sent(bucket: Bucket, steps: list[tuple[float, int]], refusals: frozenset[int] = frozenset()) -> list[float]:
    """When calls went; after the steps in *refusals* Stripe refuses one."""
    now, times = 0.0, []
    for number, (pause, wanted) in enumerate(steps):
        now += pause
        for _ in range(wanted):
            if bucket.ready(now):
                bucket.take()
                times.append(now)
        if number in refusals:
            bucket.slow_down(now, 1.0)
    return times


@given(limit=LIMITS, steps=STEPS, refusals=st.frozensets(st.integers(0, 29)))
def test_no_window_has_more_calls_than_the_rate_and_the_burst(
    limit: float, steps: list[tuple[float, int]], refusals: frozenset[int]
) -> None:
    bucket = Bucket(limit, 0.0)
    times = sent(bucket, steps, refusals)
    for first, begin in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= bucket.burst + bucket.full * (times[last] - begin) + 1e-6


@given(limit=st.sampled_from([5.0, 12.5, 25.0, 100.0]), steps=STEPS)
def test_no_second_has_more_calls_than_stripe_allows(limit: float, steps: list[tuple[float, int]]) -> None:
    times = sent(Bucket(limit, 0.0), steps)
    for begin in times:
        assert sum(begin <= at < begin + 1 for at in times) <= limit


@given(limit=LIMITS, waits=st.lists(st.floats(0, 2), max_size=20), refused=st.booleans())
def test_a_bucket_is_ready_when_it_said_and_not_much_sooner(limit: float, waits: list[float], refused: bool) -> None:
    bucket, now = Bucket(limit, 0.0), 0.0
    for wait in waits:
        now += wait
        while bucket.ready(now):
            bucket.take()
    if refused:
        bucket.slow_down(now, 2.0)
    at = bucket.ready_at(now)
    assert bucket.ready(at + 1e-6)
    fresh = Bucket(limit, 0.0)
    while fresh.ready(0.0):
        fresh.take()
    assert not fresh.ready(fresh.ready_at(0.0) - 1e-3)


def test_refusals_halve_the_rate_once_a_second_and_it_grows_back_slowly() -> None:
    bucket = Bucket(100, 0.0)
    for _ in range(10):  # under way together, refused together
        bucket.slow_down(10.0, 0.0)
    assert bucket.rate(10.0) == pytest.approx(40)
    bucket.slow_down(11.0, 5.0)
    assert bucket.rate(11.0) == pytest.approx(20.67, abs=0.01)
    assert not bucket.ready(15.9)
    assert bucket.ready(16.5)
    assert bucket.rate(11.0 + RECOVERY / 4) == pytest.approx(40.67, abs=0.01)
    assert bucket.rate(11.0 + RECOVERY) == bucket.full
    for second in range(100, 200):
        bucket.slow_down(float(second), 0.0)
    assert bucket.rate(199.0) >= bucket.full / 32, "it never stands still"
    assert bucket.ready(bucket.ready_at(199.0) + 1e-6)


def test_a_call_that_was_not_sent_after_all_does_not_end_the_pause() -> None:
    bucket = Bucket(100, 0.0)
    bucket.take()
    bucket.slow_down(10.0, 5.0)
    bucket.give_back()
    assert not bucket.ready(14.9)
    assert bucket.ready(15.0)


class QueueMachine(RuleBasedStateMachine):
    """Any mixture of calls that come, go away and are sent, on two accounts and two endpoints."""

    @initialize(limits=st.lists(LIMITS, min_size=4, max_size=4))
    def begin(self, limits: list[float]) -> None:
        self.now = 0.0
        self.turns = Turns()
        self.buckets = [Bucket(limit, 0.0) for limit in limits]
        self.times: list[list[float]] = [[] for _ in limits]
        self.waiting: list[Ticket] = []
        self.joined = self.left = self.gone = 0

    @rule(priority=st.sampled_from(Priority), tenant=st.integers(1, 4), account=st.integers(0, 1), at=st.integers(2, 3))
    def join(self, priority: Priority, tenant: int, account: int, at: int) -> None:
        ticket = Ticket((self.buckets[account], self.buckets[at]), priority, tenant)
        self.turns.join(ticket)
        self.waiting.append(ticket)
        self.joined += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.turns.leave(self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1))))
        self.left += 1

    @rule(pause=st.floats(0, 0.5))
    def send(self, pause: float) -> None:
        self.now += pause
        while (ticket := self.turns.next(self.now)) is not None:
            self.waiting.remove(ticket)
            self.gone += 1
            for bucket in ticket.lane:
                self.times[self.buckets.index(bucket)].append(self.now)
        assert not any(all(bucket.ready(self.now) for bucket in each.lane) for each in self.waiting), "someone could go"

    @invariant()
    def everyone_is_counted_once(self) -> None:
        assert len(self.turns) == len(self.waiting) == self.joined - self.left - self.gone

    def teardown(self) -> None:
        if not hasattr(self, "turns"):
            return
        began = self.now
        while (at := self.turns.wake(self.now)) is not None:  # nothing is stuck
            self.now = max(self.now, at) + 1e-6
            self.send(0.0)
            assert self.now < began + 10 * len(self.waiting) + 1000
        assert len(self.turns) == 0
        assert not any(self.turns._lines[priority] for priority in Priority), "nothing is left of those who went"
        for bucket, times in zip(self.buckets, self.times, strict=True):
            for first, begin in enumerate(times):
                for last in range(first, len(times)):
                    assert last - first + 1 <= bucket.burst + bucket.full * (times[last] - begin) + 1e-4


QueueMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestQueue = QueueMachine.TestCase


def drained(turns: Turns, bucket: Bucket, calls: int, now: float = 1000.0) -> list[Ticket]:
    """The next so many, in the order in which they go, one token at a time."""
    found: list[Ticket] = []
    while len(found) < calls:
        now = max(now, turns.wake(now) or now) + 1e-6
        while len(found) < calls and (ticket := turns.next(now)) is not None:
            found.append(ticket)
    return found


def test_one_tenants_thousand_waiting_calls_hold_up_another_by_one_call() -> None:
    bucket, turns = Bucket(25, 0.0), Turns()
    for _ in range(1000):
        turns.join(Ticket((bucket,), Priority.REQUEST, 1))
    turns.join(Ticket((bucket,), Priority.REQUEST, 2))
    assert 2 in {ticket.tenant for ticket in drained(turns, bucket, 2)}


def test_a_portal_session_goes_before_all_that_waits() -> None:
    bucket, turns = Bucket(25, 0.0), Turns()
    for priority in (Priority.SWEEP, Priority.EVENT, Priority.REQUEST):
        for _ in range(300):
            turns.join(Ticket((bucket,), priority, 1))
    turns.join(Ticket((bucket,), Priority.PORTAL, 2))
    order = [ticket.priority for ticket in drained(turns, bucket, 4)]
    assert order == [Priority.PORTAL, Priority.REQUEST, Priority.REQUEST, Priority.REQUEST]


@given(
    waiting=st.dictionaries(st.integers(1, 8), st.integers(1, 30), min_size=2),
    priority=st.sampled_from(Priority),
    cancelled=st.integers(0, 200),
)
def test_tenants_take_turns_and_who_cancelled_owes_nothing(
    waiting: dict[int, int], priority: Priority, cancelled: int
) -> None:
    """While two tenants wait, neither is ahead by more than one call and what the eighths give to the oldest."""
    bucket, turns = Bucket(25, 0.0), Turns()
    withdrawn = [Ticket((bucket,), priority, 1) for _ in range(cancelled)]
    for ticket in withdrawn:
        turns.join(ticket)
    for ticket in withdrawn:
        turns.leave(ticket)
    for tenant, calls in waiting.items():
        for _ in range(calls):
            turns.join(Ticket((bucket,), priority, tenant))
    had: Counter[int | None] = Counter()
    for number, ticket in enumerate(drained(turns, bucket, sum(waiting.values())), start=1):
        had[ticket.tenant] += 1
        left = [tenant for tenant, calls in waiting.items() if had[tenant] < calls]
        if len(left) >= 2:
            had_most, had_least = max(had[tenant] for tenant in left), min(had[tenant] for tenant in left)
            assert had_most - had_least <= 1 + number // EIGHTH


@given(ahead=st.integers(0, 20), urgent=st.sampled_from([Priority.PORTAL, Priority.REQUEST]))
def test_nothing_starves_behind_more_urgent_calls_that_never_end(ahead: int, urgent: Priority) -> None:
    bucket, turns = Bucket(25, 0.0), Turns()
    for _ in range(ahead):
        turns.join(Ticket((bucket,), Priority.EVENT, 1))
    last = Ticket((bucket,), Priority.SWEEP, 2)
    turns.join(last)
    for number in range(1, EIGHTH * (ahead + 1) + 1):
        turns.join(Ticket((bucket,), urgent, number))
        if drained(turns, bucket, 1)[0] is last:
            return
    raise AssertionError("it was never sent")


@given(st.integers(8, 200))
def test_seven_of_eight_calls_are_the_urgent_ones_while_these_wait(calls: int) -> None:
    bucket, turns = Bucket(25, 0.0), Turns()
    for number in range(calls):
        turns.join(Ticket((bucket,), Priority.SWEEP, number))
    for number in range(calls):
        turns.join(Ticket((bucket,), Priority.PORTAL, number))
    first = drained(turns, bucket, calls)
    assert sum(ticket.priority is Priority.PORTAL for ticket in first) == calls - calls // EIGHTH


def test_an_empty_endpoint_holds_up_nobody_who_asks_another() -> None:
    account, busy, idle = Bucket(100, 0.0), Bucket(1, 0.0), Bucket(25, 0.0)
    turns = Turns()
    for _ in range(50):
        turns.join(Ticket((account, busy), Priority.PORTAL, 1))
    other = Ticket((account, idle), Priority.SWEEP, 1)
    turns.join(other)
    assert [turns.next(0.0) is other for _ in range(2)] == [False, True]
    assert turns.next(0.0) is None


@given(st.lists(st.sampled_from(["ok", "fail", "wait"]), max_size=80), st.floats(0.1, 30))
def test_the_circuit_opens_after_failures_in_a_row_and_then_lets_one_probe_through(
    does: list[str], step: float
) -> None:
    breaker, now, in_a_row, probing = Breaker(), 0.0, 0, False
    for what in does:
        now += step if what == "wait" else 0.0
        state = breaker.state
        admitted = breaker.admit(now) == 0
        if admitted and state is State.OPEN:
            assert breaker.admit(now) > 0, "one probe only"
            probing = True
        if not admitted or what == "wait":
            continue
        if what == "ok":
            breaker.answered()
            in_a_row, probing = 0, False
            assert breaker.state is State.CLOSED
        else:
            in_a_row += 1
            breaker.failed(now, None)
            assert breaker.state is (State.OPEN if probing or in_a_row >= FAILURES else State.CLOSED)
            assert breaker.wait(now) <= LONGEST
            probing = False


def test_the_pause_doubles_with_each_probe_that_fails_and_a_lost_probe_is_replaced() -> None:
    breaker, now, pauses = Breaker(), 0.0, []
    for _ in range(FAILURES):
        breaker.failed(now, None)
    for _ in range(6):
        pauses.append(breaker.wait(now))
        now += pauses[-1]
        assert breaker.admit(now) == 0
        breaker.failed(now, None)
    assert pauses == [SHORTEST, 10, 20, 40, 60, 60]
    now += breaker.wait(now)
    assert breaker.admit(now) == 0
    assert breaker.admit(now + PROBE - 1) > 0
    assert breaker.admit(now + PROBE) == 0
    breaker.answered()
    assert breaker.admit(now) == 0


def test_a_tenant_whose_requests_break_stripe_does_not_close_it_to_others() -> None:
    breaker = Breaker()
    for _ in range(ALONE - 1):
        breaker.failed(0.0, 1)
        assert breaker.state is State.CLOSED
    breaker.answered()  # another tenant's call
    for _ in range(FAILURES - 1):
        breaker.failed(0.0, 1)
    assert breaker.state is State.CLOSED
    breaker.failed(0.0, 2)
    assert breaker.wait(0.0) > 0, "two tenants in a row is no accident"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v1/customers", "/v1/customers"),
        ("/v1/customers/cus_1", "/v1/customers/{id}"),
        ("/v1/customers/gold/tax_ids/txi_1", "/v1/customers/{id}/tax_ids/{id}"),
        ("/v1/subscriptions/sub_1/pause", "/v1/subscriptions/{id}/pause"),
        ("/v1/billing_portal/sessions", "/v1/billing_portal/sessions"),
        ("/v1/billing_portal/configurations/bpc_1?a=b", "/v1/billing_portal/configurations/{id}"),
        ("/v2/core/events/evt_1", "/v2/core/events/{id}"),
    ],
)
def test_an_endpoint_is_a_path_without_its_ids(path: str, found: str) -> None:
    assert endpoint(path) == found


def call(method: str, path: str, **fields: Any) -> Call:
    return Call(method=method, path=path, **fields)


def test_each_class_of_endpoints_has_its_own_limit() -> None:
    limits = Limits(Settings(stripe_api_key="sk_live_1", base_url="https://b.example"), "web")
    # Of Stripe's figures the web process has 0.6 for an account, 0.3 for reads and all writes.
    expected: list[tuple[Call, dict[tuple[str, ...], float]]] = [
        (call("get", "/v1/customers/cus_1"), {("account", ""): 60, ("read", "/v1/customers/{id}"): 7.5}),
        (call("get", "/v1/customers/search"), {("account", ""): 60, ("search", "read"): 6}),
        (call("post", "/v1/files", account="acct_1"), {("account", "acct_1"): 60, ("file", "write"): 20}),
        (call("post", "/v1/accounts"), {("account", ""): 60, ("account_creation", "write"): 30}),
        (
            call("post", "/v1/billing_portal/sessions", account="acct_1"),
            {("account", "acct_1"): 60, ("write", "/v1/billing_portal/sessions"): 25},
        ),
    ]
    for one, found in expected:
        assert limits.of(one) == pytest.approx(found), one.path


def test_an_endpoint_is_one_for_all_accounts_and_an_account_one_for_all_endpoints() -> None:
    limits = Limits(Settings(stripe_api_key="sk_test_1"), "worker")
    here, there = (set(limits.of(call("get", "/v1/events", account=name))) for name in ("acct_1", "acct_2"))
    assert len(here & there) == 1
    assert len(here & set(limits.of(call("get", "/v1/customers", account="acct_1")))) == 1


@given(percent=st.integers(1, 10_000), workers=st.integers(1, 64), path=st.sampled_from(["/v1/events", "/v1/accounts"]))
def test_web_and_worker_together_stay_within_the_percentage_for_what_both_do(
    percent: int, workers: int, path: str
) -> None:
    settings = Settings(stripe_api_key="sk_test_1", stripe_budget_percent=percent, web_workers=workers)
    whole = dict.fromkeys(Limits(settings, "web").of(call("get", path)), 25.0 * percent / 100)
    for key, allowed in whole.items():
        web = workers * Limits(settings, "web").of(call("get", path))[key]
        assert web + Limits(settings, "worker").of(call("get", path))[key] == pytest.approx(allowed)


def test_every_process_has_a_share_of_everything() -> None:
    assert all(0 < part <= 1 for share in SHARES.values() for part in share)
    assert kind(call("delete", "/v1/webhook_endpoints/we_1")) == "write"

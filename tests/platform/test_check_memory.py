"""The memory of checks against a model: random changes, reads, lost connections and evictions."""

import gc
import tracemalloc
from collections import deque
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from colonnade.access.known_keys import MOST, KnownKeys
from colonnade.checks.answers import answers
from colonnade.checks.listener import LIMIT, Hearing
from colonnade.checks.memory import ENTRY, Memory, Reading
from colonnade_tenants.entitlements import CheckedEntitlement, CheckResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SLOTS = 3
"""Answers that fit into the memory: with four customers, some are always put out."""


class Version(NamedTuple):
    """What the model's customers have: how often it changed."""

    customer_id: int
    tenant_id: int
    number: int
    size: int = 100


class Underway(NamedTuple):
    """A read: what it will find."""

    context: Any
    reading: Reading[Version]
    reference: str
    found: Version
    began: float
    until: float


TENANTS = st.sampled_from([1, 2])
REFERENCES = st.sampled_from(["ada", "bob"])


class MemoryOfChecks(RuleBasedStateMachine):
    """A database whose commits are announced in order to who listens; and what may be served meanwhile."""

    underway = Bundle("underway")

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.memory: Memory[Version] = Memory(SLOTS * (100 + ENTRY))
        self.hearing = Hearing()
        self.names = {(tenant, name): 10 * tenant + n for tenant in (1, 2) for n, name in enumerate(("ada", "bob"))}
        self.numbers = dict.fromkeys(self.names.values(), 0)
        self.log: dict[tuple[int, str], list[tuple[float, Version]]] = {}
        self.ends: dict[tuple[int, str], float] = {}
        for key in self.names:
            self.log[key] = [(float("-inf"), self._version(key))]
        self.listening = False
        self.sent: deque[str] = deque()
        self.asked: float | None = None

    def _version(self, key: tuple[int, str]) -> Version:
        customer = self.names[key]
        return Version(customer, key[0], self.numbers[customer])

    def _commit(self, announced: str, *keys: tuple[int, str]) -> None:
        for key in keys:
            self.log[key].append((self.now, self._version(key)))
        if self.listening:
            self.sent.append(announced)

    @rule(seconds=st.sampled_from([0.01, 0.2, LIMIT / 2, LIMIT, 2.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(tenant=TENANTS, name=REFERENCES)
    def change_a_customer(self, tenant: int, name: str) -> None:
        customer = self.names[tenant, name]
        self.numbers[customer] += 1
        self._commit(f"{tenant}:{customer}", (tenant, name))

    @rule(tenant=TENANTS)
    def change_a_tenant(self, tenant: int) -> None:
        keys = [key for key in self.names if key[0] == tenant]
        for key in keys:
            self.numbers[self.names[key]] += 1
        self._commit(f"{tenant}:*", *keys)

    @rule(tenant=TENANTS)
    def swap_references(self, tenant: int) -> None:
        ada, bob = (tenant, "ada"), (tenant, "bob")
        self.names[ada], self.names[bob] = self.names[bob], self.names[ada]
        self._commit(f"{tenant}:{self.names[ada]}", ada)
        self._commit(f"{tenant}:{self.names[bob]}", bob)

    @rule()
    def hear_the_next(self) -> None:
        if self.sent:
            self.memory.hear(self.sent.popleft())

    @rule()
    def ask(self) -> None:
        if self.listening and self.asked is None:
            self.asked = self.now
            self.sent.append("answer")

    @rule()
    def hear_all(self) -> None:
        """What was committed before the question comes before its answer."""
        while self.sent:
            said = self.sent.popleft()
            if said == "answer" and self.asked is not None:
                self.hearing.confirm(self.asked, NOW, None)
                self.asked = None
            else:
                self.memory.hear(said)

    @rule()
    def lose_the_connection(self) -> None:
        self.listening, self.asked = False, None
        self.sent.clear()
        self.hearing.lose()
        self.memory.clear()

    @rule()
    def listen(self) -> None:
        if not self.listening:
            self.listening = True
            self.memory.clear()

    @rule()
    def be_up_to_date(self) -> None:
        """As most of the time: a question is answered at once."""
        self.listen()
        self.ask()
        self.hear_all()

    @rule(tenant=TENANTS, name=REFERENCES, lasts=st.sampled_from([0.1, 5.0]))
    def read_at_once(self, tenant: int, name: str, lasts: float) -> None:
        self.end_a_read(self.begin_a_read(tenant, name, lasts), fails=False)

    @rule(tenant=TENANTS, name=REFERENCES, lasts=st.sampled_from([0.1, 5.0]), target=underway)
    def begin_a_read(self, tenant: int, name: str, lasts: float) -> Underway:
        context = self.memory.reading(tenant)
        return Underway(context, context.__enter__(), name, self._version((tenant, name)), self.now, self.now + lasts)

    @rule(read=consumes(underway), fails=st.booleans())
    def end_a_read(self, read: Underway, fails: bool) -> None:
        if not fails:
            read.reading.keep(read.reference, read.found, read.until)
            self.ends[read.found.tenant_id, read.reference] = read.until
        read.context.__exit__(None, None, None)

    @invariant()
    def what_is_served_was_true_within_the_limit(self) -> None:
        for key in self.names:
            served = self.memory.get(*key, self.now) if self.hearing.current(self.now) else None
            if served is None:
                continue
            true_since = [at for at, version in self.log[key] if version == served]
            later = [at for at, _ in self.log[key] if at > true_since[-1]]
            assert all(at > self.now - LIMIT for at in later[:1]), (key, served, self.log[key], self.now)
            assert self.now < self.ends[key]

    @invariant()
    def it_is_bounded_and_adds_up(self) -> None:
        assert len(self.memory) <= SLOTS
        assert self.memory.size == len(self.memory) * (100 + ENTRY)


MemoryOfChecks.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_memory_never_serves_what_was_superseded_longer_than_the_limit_ago = MemoryOfChecks.TestCase


def _result(number: int) -> CheckResult:
    rows = [
        CheckedEntitlement(f"feature_{n}", "quantity", "seats", True, number, NOW, None, [f"si_{number:020}"])
        for n in range(10)
    ]
    return CheckResult(f"customer-{number:08}", number, NOW, None, None, True, rows)


@pytest.mark.slow
def test_a_hundred_thousand_customers_stay_within_the_limit() -> None:
    memory: Memory[Any] = Memory(1024 * 1024)
    some = answers(_result(1))
    for number in range(100_000):
        with memory.reading(number % 7) as reading:
            reading.keep(f"customer-{number}", some, 10.0)
    assert 100 < len(memory) < 1_000
    assert memory.size <= 1024 * 1024
    newest = 99_999
    assert memory.get(newest % 7, f"customer-{newest}", 0.0) is some


def test_the_limit_is_in_bytes_of_this_process() -> None:
    limit = 1024 * 1024
    memory: Memory[Any] = Memory(limit)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(500):
            result = _result(number)
            memory.put(number % 7, result.customer, answers(result), 10.0)
        del result
        gc.collect()
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(memory) < 400
    assert 0.6 * limit < used < 1.1 * limit, f"{used / 2**20:.2f} MiB"


def test_a_read_that_a_change_overtook_is_not_kept() -> None:
    for said, kept in (("1:5", {"bob"}), ("1:*", set()), ("2:*", {"ada", "bob"}), ("2:5", {"ada", "bob"})):
        memory: Memory[Version] = Memory(10_000)
        with memory.reading(1) as reading:
            memory.hear(said)
            reading.keep("ada", Version(5, 1, 0), 10)
            reading.keep("bob", Version(6, 1, 0), 10)
        assert {name for name in ("ada", "bob") if memory.get(1, name, 0)} == kept, said


def test_what_is_kept_goes_when_its_customer_or_tenant_changes_or_its_time_is_over() -> None:
    for said, kept in (("1:5", {"bob"}), ("1:*", set()), ("2:*", {"ada", "bob"})):
        memory: Memory[Version] = Memory(10_000)
        memory.put(1, "ada", Version(5, 1, 0), 10)
        memory.put(1, "bob", Version(6, 1, 0), 10)
        memory.hear(said)
        assert {name for name in ("ada", "bob") if memory.get(1, name, 9.9)} == kept, said
        assert [memory.get(1, name, 10) for name in ("ada", "bob")] == [None, None]
        assert (len(memory), memory.size) == (0, 0)


def test_what_is_not_understood_makes_it_forget_everything() -> None:
    for said in ("", "*", "1", "x:1", "1:x", "1:2:3", "1:", ":1", "-1:2"):
        memory: Memory[Version] = Memory(10_000)
        with memory.reading(1) as kept, memory.reading(1) as spoilt:
            kept.keep("ada", Version(5, 1, 0), 10)
            memory.hear(said)
            spoilt.keep("bob", Version(6, 1, 0), 10)
        assert (len(memory), memory.size) == (0, 0), said


def test_keys_are_bounded_and_a_look_up_that_began_before_a_revocation_is_not_kept() -> None:
    known: KnownKeys[str] = KnownKeys(lambda _: True)
    generation = known.generation
    known.keep(b"key", "ten_1", "fern", generation)
    assert (known.get(b"key", "ten_1"), known.get(b"key", "ten_2")) == ("fern", None)
    known.forget()
    known.keep(b"key", "ten_1", "fern", generation)
    assert known.get(b"key", "ten_1") is None
    for number in range(MOST + 5):
        known.keep(b"%d" % number, "ten_1", "fern", known.generation)
    assert [known.get(b"%d" % number, "ten_1") for number in (4, 5)] == [None, "fern"]


def test_nothing_that_is_known_counts_while_it_may_be_out_of_date() -> None:
    hearing = Hearing()
    known: KnownKeys[str] = KnownKeys(hearing.current)
    known.keep(b"key", "ten_1", "fern", known.generation)
    assert known.get(b"key", "ten_1") is None
    hearing.confirm(100.0, NOW, None)
    assert [hearing.current(at) for at in (100.0, 100.0 + LIMIT / 2, 100.0 + LIMIT)] == [True, True, False]

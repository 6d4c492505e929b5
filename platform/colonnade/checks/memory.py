"""The answers that a process keeps: bounded, the longest unused go first.

A read that began before its customer's answer changed must not be kept after it: each read under way is noted, and
what is heard meanwhile spoils it. Here is no I/O and no clock: times are the caller's, in seconds of one clock.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, NamedTuple, Protocol, TypeVar

ENTRY = 600
"""Bytes that an entry costs beside its answer (measured, rounded up)."""


class Answer(Protocol):
    """What is kept of a customer: whom it is about, by internal id, and its bytes in memory."""

    @property
    def customer_id(self) -> int: ...
    @property
    def size(self) -> int: ...


A = TypeVar("A", bound=Answer)


class _Entry(NamedTuple, Generic[A]):
    answer: A
    until: float


class Reading(Generic[A]):
    """A read of some customers of one tenant that is under way."""

    def __init__(self, memory: "Memory[A]", tenant_id: int) -> None:
        self._memory = memory
        self._tenant_id = tenant_id
        self.spoilt = False
        """All that it reads may be out of date."""
        self.changed: set[int] = set()
        """The customers, by internal id, whose answers changed meanwhile."""

    def keep(self, reference: str, answer: A, until: float) -> None:
        """Keep what was read, unless it may be out of date; it is not to be used at *until* or later."""
        if not self.spoilt and answer.customer_id not in self.changed:
            self._memory.put(self._tenant_id, reference, answer, until)


class Memory(Generic[A]):
    """Answers by tenant and customer's reference, in about *limit* bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.size = 0
        """Bytes, about."""
        self._entries: OrderedDict[tuple[int, str], _Entry[A]] = OrderedDict()
        # A customer has one reference at a time, but it may have got another's: then both are listed.
        self._references: dict[int, dict[int, set[str]]] = {}
        self._readings: defaultdict[int, set[Reading[A]]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, tenant_id: int, reference: str, now: float) -> A | None:
        """The answer, if one is kept that is still to be used at *now*."""
        key = (tenant_id, reference)
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.until:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry.answer

    @contextmanager
    def reading(self, tenant_id: int) -> Iterator[Reading[A]]:
        """A block that reads from the database and keeps what it read."""
        reading = Reading(self, tenant_id)
        readings = self._readings[tenant_id]
        readings.add(reading)
        try:
            yield reading
        finally:
            readings.discard(reading)
            if not readings:
                self._readings.pop(tenant_id, None)

    def put(self, tenant_id: int, reference: str, answer: A, until: float) -> None:
        """Keep the answer; `Reading.keep` knows whether that is right."""
        key = (tenant_id, reference)
        self._remove(key)
        self._entries[key] = _Entry(answer, until)
        self._references.setdefault(tenant_id, {}).setdefault(answer.customer_id, set()).add(reference)
        self.size += answer.size + ENTRY
        while self.size > self._limit:
            self._remove(next(iter(self._entries)))

    def hear(self, said: str) -> None:
        """Forget what a notification is about: `TENANT:CUSTOMER` or `TENANT:*`; all, if it says anything else."""
        tenant, _, customer = said.partition(":")
        if not tenant.isdecimal() or not (customer == "*" or customer.isdecimal()):
            self.clear()
        elif customer == "*":
            self._forget_tenant(int(tenant))
        else:
            self._forget(int(tenant), int(customer))

    def clear(self) -> None:
        """Forget everything, and what is being read too."""
        self._entries.clear()
        self._references.clear()
        self.size = 0
        for readings in self._readings.values():
            for reading in readings:
                reading.spoilt = True

    def _forget_tenant(self, tenant_id: int) -> None:
        for reading in self._readings.get(tenant_id, ()):
            reading.spoilt = True
        for references in list(self._references.get(tenant_id, {}).values()):
            for reference in list(references):
                self._remove((tenant_id, reference))

    def _forget(self, tenant_id: int, customer_id: int) -> None:
        for reading in self._readings.get(tenant_id, ()):
            reading.changed.add(customer_id)
        for reference in list(self._references.get(tenant_id, {}).get(customer_id, ())):
            self._remove((tenant_id, reference))

    def _remove(self, key: tuple[int, str]) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        tenant_id, reference = key
        self.size -= entry.answer.size + ENTRY
        customers = self._references[tenant_id]
        customers[entry.answer.customer_id].discard(reference)
        if not customers[entry.answer.customer_id]:
            del customers[entry.answer.customer_id]
        if not customers:
            del self._references[tenant_id]

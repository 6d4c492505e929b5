"""Who goes next when more calls wait than may be sent.

The most urgent first; among these, tenants take turns, however many calls each has waiting; a tenant's own in the order
in which they came. Calls that count against a bucket which is empty hold up nobody who needs another. So that nothing
starves, every eighth call of those that share their buckets gives way to the one that has waited longest.
"""

from collections import Counter, deque
from collections.abc import Iterable
from itertools import count

from colonnade.stripe_api.bucket import Bucket
from colonnade.stripe_api.calls import Priority

EIGHTH = 8

Lane = tuple[Bucket, ...]
"""The buckets that a call takes one token from each."""


class Ticket:
    """A place in the queue; *number* says when it was taken."""

    __slots__ = ("lane", "number", "priority", "tenant")

    def __init__(self, lane: Lane, priority: Priority, tenant: int | None) -> None:
        self.lane, self.priority, self.tenant = lane, priority, tenant
        self.number = 0


_Line = dict[Lane, deque[Ticket]]


class Turns:
    """The queue. *now* is the clock of the buckets."""

    def __init__(self) -> None:
        # A tenant's place among those of its priority is its place in the dict.
        self._lines: dict[Priority, dict[int | None, _Line]] = {priority: {} for priority in Priority}
        self._waiting: Counter[Lane] = Counter()
        self._granted: Counter[Lane] = Counter()
        self._numbers = count(1)

    def __len__(self) -> int:
        return self._waiting.total()

    def __contains__(self, bucket: Bucket) -> bool:
        return any(bucket in lane for lane in self._waiting)

    def join(self, ticket: Ticket) -> None:
        """Wait at the end of the tenant's own line."""
        ticket.number = next(self._numbers)
        line = self._lines[ticket.priority].setdefault(ticket.tenant, {})
        line.setdefault(ticket.lane, deque()).append(ticket)
        self._waiting[ticket.lane] += 1

    def leave(self, ticket: Ticket) -> None:
        """Wait no longer. The tenant keeps its turn while it has other calls waiting."""
        line = self._lines[ticket.priority][ticket.tenant]
        line[ticket.lane].remove(ticket)
        if not line[ticket.lane]:
            del line[ticket.lane]
        if not line:
            del self._lines[ticket.priority][ticket.tenant]
        self._waiting[ticket.lane] -= 1
        if not self._waiting[ticket.lane]:
            del self._waiting[ticket.lane], self._granted[ticket.lane]

    def line(self, priority: Priority, tenant: int | None) -> int:
        """How many calls of that tenant and priority wait."""
        return sum(map(len, self._lines[priority].get(tenant, {}).values()))

    def next(self, now: float) -> Ticket | None:
        """Who may go now, with its tokens taken; None: nobody."""
        ready = {lane for lane in self._waiting if all(bucket.ready(now) for bucket in lane)}
        if not ready:
            return None
        ticket = self._foremost(ready)
        self._granted[ticket.lane] += 1
        if self._granted[ticket.lane] % EIGHTH == 0:
            ticket = min(self._heads(self._lines, ready), key=lambda each: each.number)
        self.leave(ticket)
        line = self._lines[ticket.priority].pop(ticket.tenant, None)
        if line is not None:  # behind the others
            self._lines[ticket.priority][ticket.tenant] = line
        for bucket in ticket.lane:
            bucket.take()
        return ticket

    def wake(self, now: float) -> float | None:
        """When somebody may go next; None while nobody waits."""
        return min((max(bucket.ready_at(now) for bucket in lane) for lane in self._waiting), default=None)

    def _foremost(self, ready: set[Lane]) -> Ticket:
        for priority in Priority:
            for line in self._lines[priority].values():
                heads = [queue[0] for lane, queue in line.items() if lane in ready]
                if heads:
                    return min(heads, key=lambda each: each.number)
        raise LookupError("nobody waits in a lane that is ready")

    @staticmethod
    def _heads(lines: dict[Priority, dict[int | None, _Line]], ready: set[Lane]) -> Iterable[Ticket]:
        for tenants in lines.values():
            for line in tenants.values():
                yield from (queue[0] for lane, queue in line.items() if lane in ready)

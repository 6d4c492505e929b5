"""The inbox as a queue.

A worker claims events and keeps them locked until it commits, so there are no leases: what a killed worker held is free
again, and unchanged. Work on one Stripe object is serial: the oldest waiting event of an object is its head, and who
claims it has the object's advisory lock. That lock covers what a row lock cannot: an older event of the object that
appears (replayed, or committed late) while a newer one is being handled.

Accounts take turns. Whose an event is, only the worker finds out, so the turn goes by the account that the event itself
names, which is read when it is received (`inbox.lane`). A turn brings as many events as the tenant's weight says.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg
import msgspec

from colonnade.webhooks.attribute import Attribution
from colonnade.webhooks.states import State

LANES = 4
"""Accounts that take their turn in one batch."""
RUN = 10
"""Events of one Stripe object in one batch, at most."""

_COLUMNS = "id, event_id, endpoint, account, type, object_id, created, body, attempts, lane, received_at"

# `lanes` skips from one account to the next on the index: as many steps as accounts wait, however long the backlog.
# Of an account's backlog only a window is searched for heads, and no further than to the last one that is needed. Each
# brings what waits behind it; what an object has from its first event on that is not due yet stays. Every part locks
# and checks again before the next reads, since whoever had the object's lock may have changed what this statement saw.
_CLAIM = f"""
with recursive lanes as (
    (select lane, not_before from inbox where state = 'pending' and lane > $2 order by lane, not_before limit 1)
    union all
    select next.* from lanes, lateral (
        select lane, not_before from inbox
        where state = 'pending' and lane > lanes.lane order by lane, not_before limit 1
    ) next
), turns as materialized (
    select lane, coalesce((select event_weight from tenants where stripe_account = lane), 1) as weight
    from lanes where not_before <= now() limit {LANES}
), shares as materialized (
    select lane, ceil($1 * weight::float8 / sum(weight) over ())::bigint as share from turns
)
select claimed.* from shares, lateral (
    select {_COLUMNS} from (
        select head.* from (
            select id, object_id from inbox where state = 'pending' and lane = shares.lane and not_before <= now()
            order by not_before, id limit 20 * share
        ) recent, lateral (
            select i.id, i.object_id from inbox i
            where i.id = recent.id and i.state = 'pending' and i.not_before <= now() and not exists (
                select from inbox earlier
                where earlier.object_id = recent.object_id and earlier.state = 'pending' and earlier.id < recent.id
            )
            for update skip locked
        ) head
        limit share
    ) head (head_id, head_object), lateral (
        select *, bool_and(not_before <= now()) over (order by id) as due from (
            select {_COLUMNS}, not_before from inbox
            where object_id = head_object and state = 'pending' and id >= head_id order by id limit {RUN} for update
        ) waiting
    ) event
    where pg_try_advisory_xact_lock(hashtextextended(head_object, 7)) and due
    limit share
) claimed
"""  # noqa: S608 - only our own names are put in
# Most events of a batch end alike: what becomes of them is sent once, and each says which of these it is.
_SETTLE = """
with ends as materialized (
    select *, evidence_text::jsonb as evidence from unnest(
        $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::int[], $9::interval[], $10::text[]
    ) with ordinality e (state, reason, error, tenant_id, rung, attempt, pause, evidence_text, number)
)
update inbox i set
    state = s.state, reason = s.reason, error = s.error, tenant_id = s.tenant_id, rung = s.rung,
    evidence = s.evidence, attempts = i.attempts + s.attempt,
    done_at = case when s.state in ('pending', 'held') then i.done_at else clock_timestamp() end,
    not_before = case when s.state = 'pending' then clock_timestamp() + s.pause else i.not_before end
from unnest($1::bigint[], $2::bigint[]) event (id, number) join ends s using (number)
where i.id = event.id
"""
# Out of the way of the window above until their head is due again.
_HOLD = """
update inbox i set not_before = head.not_before from inbox head
where head.id = any ($1) and i.object_id = head.object_id and i.state = 'pending'
    and i.id > head.id and i.not_before < head.not_before
"""

# What tells a repetition stays, and when it came; nothing of what it said.
_REDUCE = """
update inbox set body = '', object_id = '-', account = null, lane = '-', evidence = null, actions = '[]', error = null
where id = any ($1)
"""
REMOVED = "it is about somebody who was removed"
"""The reason of a stub, of which nothing but its id, type and times is kept."""


class Claimed(msgspec.Struct, frozen=True):
    """An event that this transaction has to itself; *attempts* failed before."""

    id: int
    event_id: str
    endpoint: str
    account: str | None
    type: str
    object_id: str
    created: datetime
    body: bytes
    attempts: int
    lane: str
    received_at: datetime


class Outcome(NamedTuple):
    """What becomes of an event: *state* `pending` tries it again after *pause* seconds.

    *attempt* is 1 if this counts as a failed one; *error* is the traceback of the failure; *evidence* is what in it
    names a tenant, as JSON.
    """

    event: Claimed
    state: State
    reason: str | None = None
    by: Attribution | None = None
    error: str | None = None
    attempt: int = 0
    pause: float = 0
    evidence: str | None = None


async def claim(connection: asyncpg.Connection, limit: int, after: str = "") -> list[Claimed]:
    """About *limit* events that are due, of the accounts whose turn comes after that of the lane *after*.

    Several of one Stripe object are in their order. Every lane is greater than "".
    """
    return [Claimed(*row) for row in await connection.fetch(_CLAIM, limit, after)]


async def settle(connection: asyncpg.Connection, outcomes: Sequence[Outcome]) -> None:
    """Note what became of a batch's events, in one statement."""
    ends: dict[tuple[object, ...], int] = {}
    numbers = [ends.setdefault(_end(outcome), len(ends) + 1) for outcome in outcomes]
    if ends:
        columns = map(list, zip(*ends, strict=True))
        await connection.execute(_SETTLE, [outcome.event.id for outcome in outcomes], numbers, *columns)
    if held := [outcome.event.id for outcome in outcomes if outcome.state == "pending"]:
        await connection.execute(_HOLD, held)
    if stubs := [outcome.event.id for outcome in outcomes if outcome.reason == REMOVED]:
        await connection.execute(_REDUCE, stubs)


def stub(event: Claimed) -> Outcome:
    """What becomes of an event about somebody who was removed."""
    return Outcome(event, "ignored", REMOVED)


def _end(outcome: Outcome) -> tuple[object, ...]:
    tenant_id, rung = outcome.by or (None, None)
    pause = timedelta(seconds=outcome.pause)
    return outcome.state, outcome.reason, outcome.error, tenant_id, rung, outcome.attempt, pause, outcome.evidence

"""The inbox as a queue.

A worker claims the oldest waiting event of each Stripe object and keeps the rows locked until it commits, so there are
no leases: what a killed worker held is free again, and unchanged. The advisory lock covers what a row lock cannot: an
older event of the object that appears (replayed, or committed late) while a newer one is being handled.
"""

from datetime import datetime, timedelta
from typing import Literal

import asyncpg
import msgspec

from colonnade.webhooks.attribute import Attribution

State = Literal["pending", "done", "ignored", "quarantined", "dead"]

_CLAIM = """
with heads as materialized (
    select id, event_id, endpoint, account, type, object_id, created, body, attempts
    from inbox i
    where state = 'pending' and not_before <= now() and not exists (
        select from inbox earlier
        where earlier.object_id = i.object_id and earlier.state = 'pending' and earlier.id < i.id
    )
    order by id limit $1 for update of i skip locked
)
select * from heads where pg_try_advisory_xact_lock(hashtextextended(object_id, 7))
"""
_SETTLE = """
update inbox set state = $2, reason = $3, attempts = $4, done_at = clock_timestamp(), tenant_id = $5, rung = $6
where id = $1
"""
_POSTPONE = """
update inbox set attempts = attempts + 1, not_before = clock_timestamp() + $2, reason = $3, tenant_id = $4, rung = $5
where id = $1
"""


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


async def claim(connection: asyncpg.Connection, limit: int) -> list[Claimed]:
    """At most *limit* events that are due, each of another Stripe object."""
    return [Claimed(*row) for row in await connection.fetch(_CLAIM, limit)]


async def settle(
    connection: asyncpg.Connection,
    event: Claimed,
    state: State,
    *,
    by: Attribution | None = None,
    reason: str | None = None,
    failed: bool = False,
) -> None:
    """Take the event out of the queue, for the tenant that it was attributed to; *failed* counts one more attempt."""
    attempts = event.attempts + failed
    await connection.execute(_SETTLE, event.id, state, reason, attempts, *(by or (None, None)))


async def postpone(
    connection: asyncpg.Connection, event: Claimed, seconds: float, *, by: Attribution | None = None, reason: str
) -> None:
    """Count an attempt, and leave the event in the queue; its Stripe object waits with it."""
    await connection.execute(_POSTPONE, event.id, timedelta(seconds=seconds), reason, *(by or (None, None)))

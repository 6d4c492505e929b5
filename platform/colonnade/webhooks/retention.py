"""Deleting events that are done or ignored, in small batches, once nobody needs them.

The id of a stored event is what tells a repetition, so none goes before Stripe has stopped sending it: 15 days by the
Dashboard, 30 by its command line ("Process undelivered webhook events", Stripe docs). Settings allow no less than 31.
Quarantined events and dead letters stay until someone has decided.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg

from colonnade.database.roles import Duty
from colonnade.pruning import Pruning

BATCH = 1000
PERIOD = 3600.0
"""Seconds between runs in the worker."""

# Two workers share the work: neither waits for rows of the other.
_DELETE = """
delete from inbox where id = any (array(
    select id from inbox where state in ('done', 'ignored') and received_at < now() - $1::interval
    order by received_at limit $2 for update skip locked
))
"""


async def prune(connection: asyncpg.Connection, days: int, *, batch: int = BATCH) -> int:
    """Delete what is older than *days*; how many events were. Raises what the database raises."""
    return sum([count async for count in batches(connection, days, batch=batch)])


async def batches(connection: asyncpg.Connection, days: int, *, batch: int = BATCH) -> AsyncIterator[int]:
    """The same; how many events each batch was, once that is committed."""
    count = batch
    while count == batch:
        done = await connection.execute(_DELETE, timedelta(days=days), batch)
        count = int(done.rpartition(" ")[2])
        yield count
        await asyncio.sleep(0)


EVENTS = Pruning("events", Duty.WORKER, PERIOD, prune)

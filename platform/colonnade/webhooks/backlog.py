"""How far the inbox is behind: for metrics, and for readiness."""

from typing import NamedTuple

import asyncpg

_BACKLOG = """
select
    (select count(*) from inbox where state = 'pending'),
    (select count(*) from inbox where state = 'pending' and attempts > 0),
    (select count(*) from inbox where state in ('quarantined', 'dead') and state = 'quarantined'),
    (select count(*) from inbox where state in ('quarantined', 'dead') and state = 'dead'),
    (select coalesce(extract(epoch from now() - min(not_before)), 0)::float8 from inbox
     where state = 'pending' and not_before <= now())
"""


class Backlog(NamedTuple):
    """Events by state, and for how many seconds one has been due. What waits for its next try is not due.

    *retrying*: of the pending ones, those that a try has failed, or whose tenant is waited for.
    """

    pending: int
    retrying: int
    quarantined: int
    dead: int
    oldest_seconds: float


async def measure(pool: asyncpg.Pool) -> Backlog:
    """The inbox now. Raises what the database raises."""
    return Backlog(*await pool.fetchrow(_BACKLOG))

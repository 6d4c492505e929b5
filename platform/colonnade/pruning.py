"""Deleting what is old, from time to time in the worker."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import asyncpg
import structlog

from colonnade.database.connections import LOST, connect
from colonnade.database.roles import Duty

log = structlog.get_logger()


class Pruning(NamedTuple):
    """*prune* deletes what is older than so many days, and says how many *things* that were.

    *duty* is whose connection it needs, *period* the seconds between runs.
    """

    things: str
    duty: Duty
    period: float
    prune: Callable[[asyncpg.Connection, int], Awaitable[int]]


async def prune_periodically(database_url: str, pruning: Pruning, days: int) -> None:
    """Prune now and every period, for as long as the worker runs; the database may come and go."""
    while True:
        try:
            connection = await connect(database_url, pruning.duty)
            try:
                if deleted := await pruning.prune(connection, days):
                    log.info("old rows deleted", of=pruning.things, count=deleted, older_than_days=days)
            finally:
                await connection.close(timeout=2)
        except LOST as error:
            log.warning("old rows not deleted", of=pruning.things, error=type(error).__name__)
        await asyncio.sleep(pruning.period)

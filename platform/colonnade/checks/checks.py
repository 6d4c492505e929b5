"""Answers to checks: from memory while everything that changes them is heard, else from the database."""

import time
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self

import asyncpg

from colonnade.access.guard import Caller
from colonnade.access.known_keys import KnownKeys
from colonnade.checks.answers import Answers, answers, end
from colonnade.checks.listener import Hearing, Listener
from colonnade.checks.memory import Memory
from colonnade.observability import CHECK_MEMORY, CHECKS
from colonnade_tenants.entitlements.check import CheckResult, check_many
from colonnade_tenants.entitlements.rows import CHANNEL

LONGEST = 60.0
"""Seconds after which a customer is read anew: the time up to which its account's events are complete moves unheard."""

_FROM_MEMORY, _FROM_DATABASE = CHECKS.labels("memory"), CHECKS.labels("database")


class Known(NamedTuple):
    """A customer's answers, and the moment by the database's clock as of which they are known to hold."""

    answers: Answers
    as_of: datetime


class Checks:
    """The checks of one process, with at most about *limit* bytes kept. Use as an asynchronous context manager."""

    def __init__(self, url: str, limit: int) -> None:
        self.memory: Memory[Answers] = Memory(limit)
        self.hearing = Hearing()
        self.keys: KnownKeys[Caller] = KnownKeys(self.hearing.current)
        channels = {CHANNEL: self.memory.hear, KnownKeys.CHANNEL: lambda _: self.keys.forget()}
        self._listener = Listener(url, self.hearing, channels, self._forget)

    async def __aenter__(self) -> Self:
        CHECK_MEMORY.set_function(lambda: self.memory.size)
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._listener.__aexit__(*error)

    def _forget(self) -> None:
        self.memory.clear()
        self.keys.forget()

    def remembered(self, tenant_id: int, reference: str) -> Known | None:
        """The customer's answers, if memory has them and may be trusted."""
        now = time.monotonic()
        found = self.memory.get(tenant_id, reference, now) if self.hearing.current(now) else None
        if found is None:
            return None
        _FROM_MEMORY.inc()
        return Known(found, max(found.as_of, self.hearing.as_of))

    async def find(self, pool: asyncpg.Pool, tenant_id: int, references: Sequence[str]) -> dict[str, Known]:
        """The answers of these customers, without those whom the tenant does not have; one round trip at most."""
        wanted = dict.fromkeys(references)
        found = {name: known for name in wanted if (known := self.remembered(tenant_id, name)) is not None}
        missing = [name for name in wanted if name not in found]
        if missing:
            _FROM_DATABASE.inc(len(missing))
            with self.memory.reading(tenant_id) as reading:
                began = time.monotonic()
                for result in (await check_many(pool, tenant_id, missing)).values():
                    known = Known(answers(result), result.as_of)
                    found[result.customer] = known
                    reading.keep(result.customer, known.answers, began + _seconds(result))
        return found

    def end(self, known: Collection[Known]) -> bytes:
        """The end of what is sent: up to when all these answers are known."""
        as_of = min((each.as_of for each in known), default=self.hearing.as_of)
        return end(as_of, self._complete_until([each.answers for each in known]))

    def _complete_until(self, known: Sequence[Answers]) -> datetime | None:
        times = [each.complete_until for each in known]
        if any(each.on_platform for each in known):
            times.append(self.hearing.complete_until)
        found = [at for at in times if at is not None]
        return min(found) if found and len(found) == len(times) else None


def _seconds(result: CheckResult) -> float:
    """For how long the result may be kept. It counts from before the read, so the database's clock is never outrun."""
    if result.changes_at is None:
        return LONGEST
    return min(LONGEST, (result.changes_at - result.as_of).total_seconds())

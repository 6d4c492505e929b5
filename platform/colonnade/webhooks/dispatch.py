"""One batch of events in one transaction: attribute each, run its handler as its tenant, and settle it.

Each event has a savepoint. Its effects and its settling commit together, with the batch; a failure undoes its own
effects alone, and is noted. A handler reaches tenant tables through what `TenantConnection.bind` makes, so none runs
unbound.
"""

import asyncio
import random
from collections.abc import Mapping

import asyncpg
import msgspec
import structlog

from colonnade.errors import Unavailable
from colonnade.observability import PROCESSED, redact
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks import directory, inbox
from colonnade.webhooks.attribute import Attribution, Known, Quarantine, Waiting, decide
from colonnade.webhooks.delivery import Delivery, read
from colonnade.webhooks.event_stripe import EventStripe
from colonnade.webhooks.inbox import Claimed
from colonnade_tenants.handlers import Handler
from colonnade_tenants.partition import TenantConnection

log = structlog.get_logger()

BATCH = 50
ROUND = 10
"""Seconds after which a batch takes no further event; what it claimed and left is free again when it commits."""
EVENT_TIMEOUT = 30
"""Seconds for one event's handler."""
ATTEMPTS = 12
"""Tries of a failing event: with the pauses, some two hours. An outage of Stripe's does not use them up."""
LONGEST_PAUSE = 3600
WAITS = 6
"""Looks for a mapping that is about to be committed, 1, 2, 4, … seconds apart: a minute in all."""

_NO_HANDLER = "no handler"
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Dispatcher:
    """Processes batches; one serves all tasks of a worker."""

    def __init__(self, gateway: StripeGateway, handlers: Mapping[str, Handler]) -> None:
        self._gateway = gateway
        self._handlers = handlers

    async def batch(self, pool: asyncpg.Pool) -> int:
        """Process what is due; how many events were. Raises what the database raises."""
        outcomes: list[tuple[str, str]] = []
        async with pool.acquire() as connection, connection.transaction():
            rows = await inbox.claim(connection, BATCH)
            if not rows:
                return 0
            deadline = asyncio.get_running_loop().time() + ROUND
            deliveries = [found for row in rows if (found := await self._read(connection, row))]
            known = await directory.look_up(connection, [clue for delivery in deliveries for clue in delivery.clues])
            # All workers take customers in one order: two batches with several in common would else wait in a circle.
            for delivery in sorted(deliveries, key=lambda delivery: (delivery.customer, delivery.row.id)):
                outcomes.append((delivery.row.type, await self._process(connection, delivery, known)))
                if asyncio.get_running_loop().time() > deadline:
                    break
        for event_type, outcome in outcomes:
            self._count(event_type, outcome)
        return len(rows)

    def _count(self, event_type: str, outcome: str) -> None:
        """Types that nobody handles share a label: their number has no bound."""
        PROCESSED.labels(event_type if event_type in self._handlers else "other", outcome).inc()

    async def _read(self, connection: asyncpg.Connection, row: Claimed) -> Delivery | None:
        try:
            return read(row)
        except _UNREADABLE as error:
            log.error("event unreadable", event_id=row.event_id, type=row.type, error=_sentence(error))
            await inbox.settle(connection, row, "dead", reason=_sentence(error), failed=True)
            self._count(row.type, "dead")
            return None

    async def _process(self, connection: asyncpg.Connection, delivery: Delivery, known: Known) -> str:
        row = delivery.row
        match decide(row.endpoint, row.account, delivery.clues, known):
            case Attribution() as by:
                return await self._act(connection, delivery, known, by)
            case Waiting(reason) if row.type not in self._handlers:
                await inbox.settle(connection, row, "ignored", reason=f"{_NO_HANDLER}; {reason}")
                return "ignored"
            case Waiting(reason) if row.attempts < WAITS:
                await inbox.postpone(connection, row, 2.0**row.attempts, reason=reason)
                return "waiting"
            case Waiting(reason) | Quarantine(reason):
                log.warning("event quarantined", event_id=row.event_id, type=row.type, reason=reason)
                await inbox.settle(connection, row, "quarantined", reason=reason)
                return "quarantined"

    async def _act(self, connection: asyncpg.Connection, delivery: Delivery, known: Known, by: Attribution) -> str:
        row = delivery.row
        handler = self._handlers.get(row.type)
        try:
            async with asyncio.timeout(EVENT_TIMEOUT), connection.transaction():
                tenant = await TenantConnection.bind(connection, by.tenant_id)
                registered = await directory.register(tenant, delivery.clues, known)
                if handler is not None:
                    await handler(delivery.event, tenant, EventStripe(self._gateway, tenant, row))
        except Exception as error:
            if connection.is_closed():  # the database's doing, not the event's
                raise
            return await self._failed(connection, row, by, error)
        known.object.update(registered)
        if handler is None:
            await inbox.settle(connection, row, "ignored", by=by, reason=_NO_HANDLER)
            return "ignored"
        await inbox.settle(connection, row, "done", by=by)
        return "done"

    async def _failed(self, connection: asyncpg.Connection, row: Claimed, by: Attribution, error: Exception) -> str:
        """Try again later, unless it is hopeless: what cannot be read now never can."""
        reason = _sentence(error)
        attempts = row.attempts + 1
        if isinstance(error, _UNREADABLE) or (attempts >= ATTEMPTS and not isinstance(error, Unavailable)):
            log.error("event dead", event_id=row.event_id, type=row.type, attempts=attempts, exc_info=error)
            await inbox.settle(connection, row, "dead", by=by, reason=reason, failed=True)
            return "dead"
        log.warning("event failed", event_id=row.event_id, type=row.type, attempts=attempts, error=reason)
        await inbox.postpone(connection, row, pause(attempts), by=by, reason=reason)
        return "failed"


def pause(attempts: int) -> float:
    """Seconds until the next try after *attempts* failed: doubling, and spread so that failures do not meet again."""
    return min(2.0**attempts, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311 - nothing to guess


def _sentence(error: Exception) -> str:
    """What went wrong, short. PostgreSQL's further lines would show values."""
    first = str(error).partition("\n")[0]
    return redact(f"{type(error).__name__}: {first}")[:300]

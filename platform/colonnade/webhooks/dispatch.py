"""One batch of events in one transaction: attribute each, run its handler as its tenant, and settle them all.

Each event has a savepoint. Its effects and its settling commit together, with the batch; a failure undoes its own
effects alone, and is noted. A handler reaches tenant tables through what `TenantConnection.savepoint` makes, so none
runs unbound.
"""

import asyncio
import random
import traceback
from collections.abc import Mapping

import asyncpg
import msgspec
import structlog

from colonnade.errors import Unavailable
from colonnade.observability import PROCESSED, redact
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks import directory, inbox
from colonnade.webhooks.attribute import Attribution, Known, Nobodys, Quarantine, Waiting, decide, evidence
from colonnade.webhooks.delivery import Delivery, read
from colonnade.webhooks.event_stripe import EventStripe
from colonnade.webhooks.inbox import Claimed, Outcome
from colonnade_tenants.handlers import Handler
from colonnade_tenants.partition import TenantConnection

log = structlog.get_logger()

BATCH = 100
ROUND = 10
"""Seconds after which a batch takes no further event; what it claimed and left is free again when it commits."""
EVENT_TIMEOUT = 30
"""Seconds for one event's handler."""
ATTEMPTS = 12
"""Tries of a failing event: with the pauses, some two hours. An outage of Stripe's does not use them up."""
LONGEST_PAUSE = 3600
WAITS = 6
"""Looks for a mapping that is about to be committed, 1, 2, 4, … seconds apart: a minute in all."""
TRACEBACK = 8000
"""Characters of a failure's traceback that are kept: the end, where it happened."""

_NO_HANDLER = "no handler"
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Dispatcher:
    """Processes batches; one serves all tasks of a worker."""

    def __init__(self, gateway: StripeGateway, handlers: Mapping[str, Handler]) -> None:
        self._gateway = gateway
        self._handlers = handlers
        self._lane = ""
        """The last account that had its turn; the tasks share it, so that they do not take the same ones."""

    async def batch(self, pool: asyncpg.Pool) -> int:
        """Process what is due; how many events were. Raises what the database raises."""
        async with pool.acquire() as connection, connection.transaction():
            rows = await self._claim(connection)
            outcomes = await self._process_all(connection, rows) if rows else []
            await inbox.settle(connection, outcomes)
        for outcome in outcomes:
            self._count(outcome)
        return len(rows)

    async def _claim(self, connection: asyncpg.Connection) -> list[Claimed]:
        """Of the accounts that follow those that had their turn; after the last one the round begins again."""
        start = self._lane
        rows = await inbox.claim(connection, BATCH, start)
        if not rows and start:
            rows = await inbox.claim(connection, BATCH)
        self._lane = max((row.lane for row in rows), default="")
        return rows

    async def _process_all(self, connection: asyncpg.Connection, rows: list[Claimed]) -> list[Outcome]:
        deadline = asyncio.get_running_loop().time() + ROUND
        found = [_read(row) for row in rows]
        outcomes = [each for each in found if isinstance(each, Outcome)]
        deliveries = [each for each in found if isinstance(each, Delivery)]
        known = await directory.look_up(connection, [clue for delivery in deliveries for clue in delivery.clues])
        waiting: set[str] = set()
        for delivery in _in_order(deliveries):
            if delivery.row.object_id in waiting:
                continue  # behind an event that is to be tried again
            said = evidence(delivery.clues, known)
            outcome = await self._process(connection, delivery, known)
            outcomes.append(outcome._replace(evidence=said))
            if outcome.state == "pending":
                waiting.add(delivery.row.object_id)
            if asyncio.get_running_loop().time() > deadline:
                break
        return outcomes

    def _count(self, outcome: Outcome) -> None:
        """Types that nobody handles share a label: their number has no bound."""
        event_type = outcome.event.type
        word = ("failed" if outcome.error else "waiting") if outcome.state == "pending" else outcome.state
        PROCESSED.labels(event_type if event_type in self._handlers else "other", word).inc()

    async def _process(self, connection: asyncpg.Connection, delivery: Delivery, known: Known) -> Outcome:
        row = delivery.row
        match decide(row.endpoint, row.account, delivery.clues, known):
            case Attribution() as by:
                return await self._act(connection, delivery, known, by)
            case Nobodys(reason):
                return Outcome(row, "ignored", reason)
            case Waiting(reason) if row.type not in self._handlers:
                return Outcome(row, "ignored", f"{_NO_HANDLER}; {reason}")
            case Waiting(reason) if row.attempts < WAITS:
                return Outcome(row, "pending", reason, attempt=1, pause=2.0**row.attempts)
            case Waiting(reason) | Quarantine(reason):
                log.warning("event quarantined", event_id=row.event_id, type=row.type, reason=reason)
                return Outcome(row, "quarantined", reason)

    async def _act(self, connection: asyncpg.Connection, delivery: Delivery, known: Known, by: Attribution) -> Outcome:
        row = delivery.row
        handler = self._handlers.get(row.type)
        try:
            async with asyncio.timeout(EVENT_TIMEOUT), TenantConnection.savepoint(connection, by.tenant_id) as tenant:
                registered = await directory.register(tenant, delivery.clues, known)
                if handler is not None:
                    await handler(delivery.event, tenant, EventStripe(self._gateway, tenant, row))
        except Exception as error:
            if connection.is_closed():  # the database's doing, not the event's
                raise
            return _failed(row, by, error)
        known.object.update(registered)
        return Outcome(row, "ignored", _NO_HANDLER, by) if handler is None else Outcome(row, "done", by=by)


def _read(row: Claimed) -> Delivery | Outcome:
    try:
        return read(row)
    except _UNREADABLE as error:
        log.error("event unreadable", event_id=row.event_id, type=row.type, error=_sentence(error))
        return Outcome(row, "dead", _sentence(error), error=_traceback(error), attempt=1)


def _in_order(deliveries: list[Delivery]) -> list[Delivery]:
    """By customer, then Stripe object, oldest first.

    All workers take customers in one order: two batches with several in common would else wait in a circle.
    """
    customers: dict[str, str] = {}
    for delivery in deliveries:
        customers.setdefault(delivery.row.object_id, delivery.customer)
    return sorted(deliveries, key=lambda each: (customers[each.row.object_id], each.row.object_id, each.row.id))


def _failed(row: Claimed, by: Attribution, error: Exception) -> Outcome:
    """Try again later, unless it is hopeless: what cannot be read now never can."""
    reason, trace = _sentence(error), _traceback(error)
    attempts = row.attempts + 1
    if isinstance(error, _UNREADABLE) or (attempts >= ATTEMPTS and not isinstance(error, Unavailable)):
        log.error("event dead", event_id=row.event_id, type=row.type, attempts=attempts, exc_info=error)
        return Outcome(row, "dead", reason, by, trace, attempt=1)
    log.warning("event failed", event_id=row.event_id, type=row.type, attempts=attempts, error=reason)
    return Outcome(row, "pending", reason, by, trace, attempt=1, pause=pause(attempts))


def pause(attempts: int) -> float:
    """Seconds until the next try after *attempts* failed: doubling, and spread so that failures do not meet again."""
    return min(2.0**attempts, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311 - nothing to guess


def _sentence(error: BaseException) -> str:
    """What went wrong, short. PostgreSQL's further lines would show values."""
    first = str(error).partition("\n")[0]
    return redact(f"{type(error).__name__}: {first}")[:300]


def _traceback(error: BaseException) -> str:
    """Where it went wrong: places and sentences, without the values that PostgreSQL's further lines would show."""
    parts: list[str] = []
    while True:
        where = "".join(traceback.format_tb(error.__traceback__))
        parts.insert(0, f"{where}{_sentence(error)}")
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or len(parts) == 5:
            return redact("\n\n".join(parts)).replace("\x00", "")[-TRACEBACK:]
        error = cause

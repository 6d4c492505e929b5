"""One batch of events in one transaction: attribute each, run its handler as its tenant, and settle them all.

Each event has a savepoint. Its effects and its settling commit together, with the batch; a failure undoes its own
effects alone, and is noted. A handler reaches tenant tables through what `Savepoints` makes, so none
runs unbound.
"""

import asyncio
import time
from collections.abc import Mapping

import asyncpg
import msgspec
import structlog

from colonnade.errors import Unavailable
from colonnade.observability import LAG, PROCESSED
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks import directory, inbox
from colonnade.webhooks.attribute import Attribution, Known, Nobodys, Quarantine, Waiting, decide, evidence
from colonnade.webhooks.delivery import Delivery, read
from colonnade.webhooks.event_stripe import EventStripe
from colonnade.webhooks.extensions import Extensions
from colonnade.webhooks.inbox import Claimed, Outcome
from colonnade.webhooks.retries import pause, sentence, trace
from colonnade.webhooks.thin import ThinReader
from colonnade_tenants.handlers import Handler
from colonnade_tenants.partition import Savepoints

log = structlog.get_logger()

BATCH = 100
ROUND = 10
"""Seconds after which a batch takes no further event; what it claimed and left is free again when it commits."""
EVENT_TIMEOUT = 30
"""Seconds for one event's handler."""
ATTEMPTS = 12
"""Tries of a failing event: with the pauses, some two hours. An outage of Stripe's does not use them up."""
WAITS = 6
"""Looks for a mapping that is about to be committed, 1, 2, 4, … seconds apart: a minute in all."""

_NO_HANDLER = "no handler"
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Dispatcher:
    """Processes batches; one serves all tasks of a worker."""

    def __init__(self, gateway: StripeGateway, handlers: Mapping[str, Handler], extensions: Extensions) -> None:
        self._gateway = gateway
        self._handlers = handlers
        self._extensions = extensions
        self._thin = ThinReader(gateway, {*handlers, *extensions.types})
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
        found = await self._thin.complete(connection, [_read(row) for row in rows], _failed_unread)
        outcomes = [each for each in found if isinstance(each, Outcome)]
        deliveries = [each for each in found if isinstance(each, Delivery)]
        known = await directory.look_up(connection, [clue for delivery in deliveries for clue in delivery.clues])
        points = Savepoints(connection)
        waiting: set[str] = set()
        for delivery in _in_order(deliveries):
            if delivery.row.object_id in waiting:
                continue  # behind an event that is to be tried again
            said = evidence(delivery.clues, known)
            outcome = await self._process(points, delivery, known)
            outcomes.append(outcome._replace(evidence=said))
            if outcome.state == "pending":
                waiting.add(delivery.row.object_id)
            if asyncio.get_running_loop().time() > deadline:
                break
        return outcomes

    def _count(self, outcome: Outcome) -> None:
        """Types that nobody handles share a label: their number has no bound."""
        event_type = outcome.event.type if self._handled(outcome.event.type) else "other"
        word = ("failed" if outcome.error else "waiting") if outcome.state == "pending" else outcome.state
        PROCESSED.labels(event_type, word).inc()
        if outcome.state == "done":
            LAG.labels(event_type).observe(max(0.0, time.time() - outcome.event.received_at.timestamp()))

    def _handled(self, event_type: str) -> bool:
        return event_type in self._handlers or event_type in self._extensions

    async def _process(self, points: Savepoints, delivery: Delivery, known: Known) -> Outcome:
        row = delivery.row
        match decide(row.endpoint, row.account, delivery.clues, known):
            case Attribution() as by:
                return await self._act(points, delivery, known, by)
            case Nobodys(reason):
                return Outcome(row, "ignored", reason)
            case Waiting(reason) if not self._handled(delivery.event.type):
                return Outcome(row, "ignored", f"{_NO_HANDLER}; {reason}")
            case Waiting(reason) if row.attempts < WAITS:
                return Outcome(row, "pending", reason, attempt=1, pause=2.0**row.attempts)
            case Waiting(reason) | Quarantine(reason):
                log.warning("event quarantined", event_id=row.event_id, type=row.type, reason=reason)
                return Outcome(row, "quarantined", reason)

    async def _act(self, points: Savepoints, delivery: Delivery, known: Known, by: Attribution) -> Outcome:
        row = delivery.row
        handler = self._handlers.get(delivery.event.type)
        try:
            async with asyncio.timeout(EVENT_TIMEOUT), points.tenant(by.tenant_id) as tenant:
                registered = await directory.register(tenant, delivery.clues, known)
                if handler is not None:
                    await handler(delivery.event, tenant, EventStripe(self._gateway, tenant, row))
        except Exception as error:
            if points.connection.is_closed():  # the database's doing, not the event's
                raise
            return _failed(row, by, error)
        known.object.update(registered)
        await self._extensions.run(points, delivery, by.tenant_id)
        done = self._handled(delivery.event.type)
        return Outcome(row, "done", by=by) if done else Outcome(row, "ignored", _NO_HANDLER, by)


def _read(row: Claimed) -> Delivery | Outcome:
    try:
        return read(row)
    except _UNREADABLE as error:
        log.error("event unreadable", event_id=row.event_id, type=row.type, error=sentence(error))
        return Outcome(row, "dead", sentence(error), error=trace(error), attempt=1)


def _in_order(deliveries: list[Delivery]) -> list[Delivery]:
    """By customer, then Stripe object, oldest first.

    All workers take customers in one order: two batches with several in common would else wait in a circle.
    """
    customers: dict[str, str] = {}
    for delivery in deliveries:
        customers.setdefault(delivery.row.object_id, delivery.customer)
    return sorted(deliveries, key=lambda each: (customers[each.row.object_id], each.row.object_id, each.row.id))


def _failed_unread(row: Claimed, error: Exception) -> Outcome:
    return _failed(row, None, error)


def _failed(row: Claimed, by: Attribution | None, error: Exception) -> Outcome:
    """Try again later, unless it is hopeless: what cannot be read now never can."""
    reason, where = sentence(error), trace(error)
    attempts = row.attempts + 1
    if isinstance(error, _UNREADABLE) or (attempts >= ATTEMPTS and not isinstance(error, Unavailable)):
        log.error("event dead", event_id=row.event_id, type=row.type, attempts=attempts, exc_info=error)
        return Outcome(row, "dead", reason, by, where, attempt=1)
    log.warning("event failed", event_id=row.event_id, type=row.type, attempts=attempts, error=reason)
    return Outcome(row, "pending", reason, by, where, attempt=1, pause=pause(attempts))

"""One batch of events in one transaction: attribute each, run the handlers tenant by tenant, and settle them all.

An event's effects and its settling commit together, with the batch.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping

import asyncpg
import msgspec
import structlog

from colonnade.observability import LAG, PROCESSED
from colonnade.portals.noticing import notice
from colonnade.stripe_api.client import StripeGateway
from colonnade.tracing.switch import current
from colonnade.webhooks import directory, inbox
from colonnade.webhooks.attribute import (
    Attribution,
    Former,
    Known,
    Nobodys,
    Quarantine,
    Removed,
    Verdict,
    Waiting,
    decide,
    evidence,
)
from colonnade.webhooks.delivery import Delivery, read
from colonnade.webhooks.extensions import Extensions
from colonnade.webhooks.inbox import Claimed, Outcome, stub
from colonnade.webhooks.retries import sentence, trace
from colonnade.webhooks.runs import NO_HANDLER, UNREADABLE, Runner, failed
from colonnade.webhooks.standing import Attributed, first
from colonnade.webhooks.thin import ThinReader
from colonnade_tenants.handlers import Handler
from colonnade_tenants.unit import Units

log = structlog.get_logger()

BATCH = 300
"""Events, about: more would cost less each, and let what comes meanwhile wait longer."""
ROUND = 10
"""Seconds after which a batch takes no further event; what it claimed and left is free again when it commits."""
WAITS = 6
"""Looks for a mapping that is about to be committed, 1, 2, 4, … seconds apart: a minute in all."""


class Dispatcher:
    """Processes batches; one serves all tasks of a worker."""

    def __init__(self, gateway: StripeGateway, handlers: Mapping[str, Handler], extensions: Extensions) -> None:
        self._handlers = handlers
        self._extensions = extensions
        self._runner = Runner(gateway, handlers, extensions)
        self._thin = ThinReader(gateway, {*handlers, *extensions.types})
        self._process, self._settled = current().processing(self._process_all), current().settling(self._count)
        self._lane = ""
        """The last account that had its turn; the tasks share it, and look one after the other (`_looking`), so that
        they do not take the same ones."""
        self._looking = asyncio.Lock()

    async def batch(self, pool: asyncpg.Pool) -> int:
        """Process what is due; how many events were. Raises what the database raises."""
        async with pool.acquire() as connection, connection.transaction():
            rows = await self._claim(connection)
            outcomes = await self._process(connection, rows) if rows else []
            await inbox.settle(connection, outcomes)
        now = time.time()
        for outcome in outcomes:
            self._settled(outcome, now)
        return len(rows)

    async def _claim(self, connection: asyncpg.Connection) -> list[Claimed]:
        """Of the accounts that follow those that had their turn; after the last one the round begins again."""
        async with self._looking:
            start = self._lane
            rows = await inbox.claim(connection, BATCH, start)
            if not rows and start:
                rows = await inbox.claim(connection, BATCH)
            self._lane = max((row.lane for row in rows), default="")
        return rows

    async def _process_all(self, connection: asyncpg.Connection, rows: list[Claimed]) -> list[Outcome]:
        deadline = asyncio.get_running_loop().time() + ROUND
        found = await self._thin.complete(connection, [_read(row) for row in rows], _unread)
        deliveries = [each for each in found if isinstance(each, Delivery)]
        known = await directory.look_up(connection, [clue for delivery in deliveries for clue in delivery.clues])
        runs, settled = self._attribute(deliveries, known)
        ordered = {tenant_id: _in_order(first(run)) for tenant_id, run in runs.items()}
        handled = await self._runner.run(Units(connection), ordered, deadline) if runs else []
        await notice(connection, deliveries)  # last: it locks rows, and handlers may wait for Stripe
        return [*settled, *(each for each in found if isinstance(each, Outcome)), *handled]

    def _attribute(
        self, deliveries: list[Delivery], known: Known
    ) -> tuple[Mapping[int, list[Attributed]], list[Outcome]]:
        """The events by tenant, and what becomes of those that have none; what one names, the next is known by."""
        runs: dict[int, list[Attributed]] = defaultdict(list)
        outcomes: list[Outcome] = []
        registered = frozenset(known.object)
        owners: dict[str, int | None] = {}
        judged: dict[object, tuple[str, Verdict]] = {}
        for delivery in sorted(deliveries, key=lambda each: each.row.id):
            names = {clue.key for clue in delivery.clues if clue.kind == "object"}
            alike = delivery.row.endpoint, delivery.row.account, tuple(delivery.clues)
            said, found = judged.get(alike) or _judge(delivery, known)
            if names <= known.object.keys():  # of the next such event the same is known
                judged[alike] = said, found
            tenant = found.tenant_id if isinstance(found, Attribution) else None
            if owners.get(delivery.row.object_id, tenant) != tenant:
                continue  # behind an event of its object that is not of this tenant's run
            outcome = None if isinstance(found, Attribution) else self._unattributed(delivery, found)
            if outcome is None or outcome.state == "pending":
                owners[delivery.row.object_id] = tenant
            if isinstance(found, Attribution):
                runs[found.tenant_id].append(Attributed(delivery, found, said, names - registered))
                known.object.update(dict.fromkeys(names - known.object.keys(), found.tenant_id))
            elif outcome:
                outcomes.append(outcome if isinstance(found, Removed) else outcome._replace(evidence=said))
        return runs, outcomes

    def _count(self, outcome: Outcome, now: float) -> None:
        """Types that nobody handles share a label: their number has no bound."""
        event_type = outcome.event.type if self._handled(outcome.event.type) else "other"
        word = ("failed" if outcome.error else "waiting") if outcome.state == "pending" else outcome.state
        PROCESSED.counts[event_type, word] += 1
        if outcome.state == "done":
            LAG.observe(event_type, max(0.0, now - outcome.event.received_at.timestamp()))

    def _handled(self, event_type: str) -> bool:
        return event_type in self._handlers or event_type in self._extensions

    def _unattributed(self, delivery: Delivery, why: Waiting | Nobodys | Former | Removed | Quarantine) -> Outcome:
        row = delivery.row
        match why:
            case Removed():
                return stub(row)
            case Former(tenant_id, account):
                by = Attribution(tenant_id, "former account")
                return Outcome(row, "ignored", f"{account} is an account that its tenant has left", by)
            case Nobodys(reason):
                return Outcome(row, "ignored", reason)
            case Waiting(reason) if not self._handled(delivery.event.type):
                return Outcome(row, "ignored", f"{NO_HANDLER}; {reason}")
            case Waiting(reason) if row.attempts < WAITS:
                return Outcome(row, "pending", reason, attempt=1, pause=2.0**row.attempts)
            case Waiting(reason) | Quarantine(reason):
                log.warning("event quarantined", event_id=row.event_id, type=row.type, reason=reason)
                return Outcome(row, "quarantined", reason)


def _judge(delivery: Delivery, known: Known) -> tuple[str, Verdict]:
    """Everything in the event that could name a tenant, as JSON, and the tenant that it names."""
    said = evidence(delivery.clues, known)
    found = decide(delivery.row.endpoint, delivery.row.account, delivery.clues, known)
    return msgspec.json.encode(said).decode(), found


def _read(row: Claimed) -> Delivery | Outcome:
    try:
        return read(row)
    except UNREADABLE as error:
        log.error("event unreadable", event_id=row.event_id, type=row.type, error=sentence(error))
        return Outcome(row, "dead", sentence(error), error=trace(error), attempt=1)


def _unread(row: Claimed, error: Exception) -> Outcome:
    return failed(row, None, error)


def _in_order(run: list[Attributed]) -> list[Attributed]:
    """By customer, then Stripe object, oldest first."""
    customers: dict[str, str] = {}
    for each in run:
        if each.row.object_id not in customers:
            customers[each.row.object_id] = each.delivery.customer
    return sorted(run, key=lambda each: (customers[each.row.object_id], each.row.object_id, each.row.id))

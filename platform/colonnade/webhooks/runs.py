"""A run of one tenant's events: handled one after the other, read and written together.

An event that raises leaves no effect, and is noted. Where the whole run fails in the database, it is undone and done
again one by one, so that only the event fails that made it fail.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog

from colonnade.errors import Unavailable
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks import directory
from colonnade.webhooks.attribute import Attribution
from colonnade.webhooks.delivery import Delivery
from colonnade.webhooks.event_stripe import EventStripe
from colonnade.webhooks.extensions import Extensions
from colonnade.webhooks.inbox import Claimed, Outcome
from colonnade.webhooks.retries import outage_pause, pause, sentence, trace
from colonnade_tenants.ahead import Named, read_ahead
from colonnade_tenants.handlers import Handler
from colonnade_tenants.unit import CannotUndo, Unit, Units

log = structlog.get_logger()

EVENT_TIMEOUT = 30
"""Seconds for one event's handler, and for what is read and written for a run."""
ATTEMPTS = 12
"""Tries of a failing event: with the pauses, some two hours. An outage of Stripe's does not use them up."""

NO_HANDLER = "no handler"
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Attributed(NamedTuple):
    """An event whose tenant is known, what said so, and the objects in it that are not registered yet."""

    delivery: Delivery
    by: Attribution
    evidence: list[dict[str, str | None]]
    unregistered: set[str]

    @property
    def row(self) -> Claimed:
        """The event as it was claimed."""
        return self.delivery.row


class Runner:
    """Handles runs; one serves all tasks of a worker."""

    def __init__(self, gateway: StripeGateway, handlers: Mapping[str, Handler], extensions: Extensions) -> None:
        self._gateway = gateway
        self._handlers = handlers
        self._extensions = extensions

    async def run(self, units: Units, tenant_id: int, run: Sequence[Attributed], deadline: float) -> list[Outcome]:
        """What became of the tenant's events *run*, in their order; none begins after *deadline* (the loop's time)."""
        try:
            return await self._together(units, tenant_id, run, deadline)
        except Exception as error:
            if units.connection.is_closed():  # the database's doing, not the events'
                raise
            cause = error.__cause__ if isinstance(error, CannotUndo) else error
            if len(run) == 1 and isinstance(cause, Exception):
                return [_failed(run[0], cause)]
            log.info("events are handled one by one", count=len(run), reason=sentence(cause or error))
        outcomes: list[Outcome] = []
        stuck: set[str] = set()
        for each in run:
            if each.row.object_id not in stuck and asyncio.get_running_loop().time() < deadline:
                (outcome,) = await self.run(units, tenant_id, [each], deadline)
                outcomes.append(outcome)
                if outcome.state == "pending":
                    stuck.add(each.row.object_id)
        return outcomes

    async def _together(
        self, units: Units, tenant_id: int, run: Sequence[Attributed], deadline: float
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        stuck: set[str] = set()
        async with units.tenant(tenant_id) as tenant:
            async with asyncio.timeout(EVENT_TIMEOUT):
                await read_ahead(tenant, map(self._named, run))
            for each in run:
                if each.row.object_id in stuck:
                    continue  # behind an event that is to be tried again
                outcome = await self._one(units, tenant, each)
                outcomes.append(outcome)
                if outcome.state == "pending":
                    stuck.add(each.row.object_id)
                if asyncio.get_running_loop().time() > deadline:
                    break
            async with asyncio.timeout(EVENT_TIMEOUT):
                await tenant.flush()
        return outcomes

    def _named(self, each: Attributed) -> Named:
        handler = self._handlers.get(each.delivery.event.type)
        return Named(handler, each.row.object_id.rpartition("/")[2], each.delivery.customer)

    async def _one(self, units: Units, tenant: Unit, each: Attributed) -> Outcome:
        event, row = each.delivery.event, each.row
        handler = self._handlers.get(event.type)
        try:
            async with asyncio.timeout(EVENT_TIMEOUT), tenant.event():
                await directory.register(tenant, each.unregistered)
                if handler is not None:
                    await handler(event, tenant, EventStripe(self._gateway, tenant, row))
        except CannotUndo:
            raise
        except Exception as error:
            if units.connection.is_closed():
                raise
            return _failed(each, error)
        await self._extensions.run(units, tenant, each.delivery)
        if handler is not None or event.type in self._extensions:
            return Outcome(row, "done", by=each.by, evidence=each.evidence)
        return Outcome(row, "ignored", NO_HANDLER, each.by, evidence=each.evidence)


def _failed(each: Attributed, error: Exception) -> Outcome:
    return failed(each.row, each.by, error)._replace(evidence=each.evidence)


def failed(row: Claimed, by: Attribution | None, error: Exception) -> Outcome:
    """Try again later, unless it is hopeless: what cannot be read now never can. An outage counts for nothing."""
    reason, where = sentence(error), trace(error)
    if isinstance(error, Unavailable):
        log.warning("event waits", event_id=row.event_id, type=row.type, error=reason)
        return Outcome(row, "pending", reason, by, pause=outage_pause(error.retry_after, row.received_at))
    attempts = row.attempts + 1
    if isinstance(error, UNREADABLE) or attempts >= ATTEMPTS:
        log.error("event dead", event_id=row.event_id, type=row.type, attempts=attempts, exc_info=error)
        return Outcome(row, "dead", reason, by, where, attempt=1)
    log.warning("event failed", event_id=row.event_id, type=row.type, attempts=attempts, error=reason)
    return Outcome(row, "pending", reason, by, where, attempt=1, pause=pause(attempts))

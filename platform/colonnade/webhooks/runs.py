"""A run of one tenant's events: handled one after the other, read and written together.

An event that raises leaves no effect, and is noted. Where the database refuses something, all is undone and done again:
each tenant's run by itself, and that which fails again event by event, so that only the event fails that made it fail.
"""

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg
import msgspec
import structlog

from colonnade.accounts import following
from colonnade.errors import Unavailable
from colonnade.stripe_api.client import StripeGateway
from colonnade.time_limit import Block, TimeLimit
from colonnade.tracing.switch import current
from colonnade.webhooks import directory
from colonnade.webhooks.attribute import Attribution
from colonnade.webhooks.event_stripe import EventStripe
from colonnade.webhooks.extensions import Extensions
from colonnade.webhooks.inbox import Claimed, Outcome
from colonnade.webhooks.retries import outage_pause, pause, sentence, trace
from colonnade.webhooks.standing import Attributed, admit
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


Runs = Mapping[int, Sequence[Attributed]]
"""Events by tenant (internal id)."""


class Runner:
    """Handles runs; one serves all tasks of a worker."""

    def __init__(self, gateway: StripeGateway, handlers: Mapping[str, Handler], extensions: Extensions) -> None:
        self._gateway = gateway
        self._handlers = handlers
        self._extensions = extensions
        self._limit = TimeLimit(EVENT_TIMEOUT)
        self._handle = current().handling(self._one)

    async def run(self, units: Units, runs: Runs, deadline: float) -> list[Outcome]:
        """What became of the events, each tenant's in their order; none begins after *deadline* (the loop's time).

        Together as far as that goes well; else what all did is undone, and done again by fewer. Raises what is the
        database's doing, and not the events'.
        """
        try:
            async with units.undoable():
                return [
                    outcome
                    for tenant_id in sorted(runs)  # all in one order: two batches would else wait in a circle
                    for outcome in await self._together(units, tenant_id, runs[tenant_id], deadline)
                ]
        except Exception as error:
            cause = error.__cause__ if isinstance(error, CannotUndo) else error
            if units.connection.is_closed() or isinstance(cause, asyncpg.DeadlockDetectedError):
                raise
            events = [each for run in runs.values() for each in run]
            if len(events) == 1 and isinstance(cause, Exception):
                return [_failed(events[0], cause)]
            log.warning("events are handled again apart", count=len(events), reason=sentence(cause or error))
        return await self._apart(units, runs, deadline)

    async def _apart(self, units: Units, runs: Runs, deadline: float) -> list[Outcome]:
        """The tenants one by one, or the events of one."""
        of_tenants = [(tenant_id, runs[tenant_id]) for tenant_id in sorted(runs)]
        parts = of_tenants if len(runs) > 1 else [(tenant_id, [each]) for tenant_id, run in of_tenants for each in run]
        outcomes: list[Outcome] = []
        stuck: set[str] = set()
        for tenant_id, part in parts:
            ready = [each for each in part if each.row.object_id not in stuck]
            if ready and asyncio.get_running_loop().time() < deadline:
                found = await self.run(units, {tenant_id: ready}, deadline)
                outcomes += found
                stuck |= {outcome.event.object_id for outcome in found if outcome.state == "pending"}
        return outcomes

    async def _together(
        self, units: Units, tenant_id: int, run: Sequence[Attributed], deadline: float
    ) -> list[Outcome]:
        stuck: set[str] = set()
        loop, limit = asyncio.get_running_loop(), self._limit.block()
        async with units.tenant(tenant_id) as tenant:
            run, outcomes = await admit(units.connection, tenant, run)
            async with asyncio.timeout(EVENT_TIMEOUT):
                await read_ahead(tenant, map(self._named, run))
            for each in run:
                if each.row.object_id in stuck:
                    continue  # behind an event that is to be tried again
                outcome = await self._handle(units, tenant, each, limit)
                outcomes.append(outcome)
                if outcome.state == "pending":
                    stuck.add(each.row.object_id)
                if loop.time() > deadline:
                    break
            async with asyncio.timeout(EVENT_TIMEOUT):
                await tenant.flush()
                await following.follow(tenant, [each.delivery.event for each in run])
        return outcomes

    def _named(self, each: Attributed) -> Named:
        handler = self._handlers.get(each.delivery.event.type)
        return Named(handler, each.row.object_id.rpartition("/")[2], each.delivery.customer)

    async def _one(self, units: Units, tenant: Unit, each: Attributed, limit: Block) -> Outcome:
        event, row = each.delivery.event, each.row
        handler = self._handlers.get(event.type)

        async def handle() -> None:
            await directory.register(tenant, each.unregistered)
            if handler is not None:
                await handler(event, tenant, EventStripe(self._gateway, tenant, row))

        try:
            with limit:
                await tenant.event(handle)
        except (CannotUndo, asyncpg.DeadlockDetectedError):
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

"""Finding what never arrived: an account's events as Stripe lists them, against the inbox.

Each account has a cursor, in Stripe's time. A sweep lists the handled types, snapshot and thin, window by window from
there to now, and stores what the inbox lacks, marked `swept`; the rest is the worker's, as with any delivery. The
cursor moves once a window is stored whole, so that a sweep which was killed goes on where it was. `complete_until` is
the watermark: nothing that Stripe lists is missing up to then. Local clocks play no part: Stripe's answers are dated.

Stripe lists 30 days ("List all events", Stripe API reference). Where the cursor is older there is a gap, and the
watermark stays until the objects themselves have been read (`resync`).
"""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import structlog

from colonnade.accounts import looking
from colonnade.accounts.at_stripe import is_out_of_reach
from colonnade.accounts.looking import Whose
from colonnade.accounts.states import State, sentence
from colonnade.errors import Closed, DomainError
from colonnade.observability import SWEPT, redact
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.client import StripeClient, StripeGateway
from colonnade.webhooks import listing, swept
from colonnade.webhooks.listing import pages, stripe_time
from colonnade.webhooks.sweeps import Account, accounts, begin, fail, finish, move

log = structlog.get_logger()

KEPT = timedelta(days=30) - timedelta(hours=1)
OVERLAP = timedelta(minutes=10)
"""Read again before the cursor, for events that Stripe lists later than others of their time."""
SETTLING = timedelta(minutes=1)
"""The newest events are stored too, but are not yet taken for complete."""
FIRST_WINDOW, FEW, MANY = timedelta(hours=6), 100, 1000
_LOCK = 9

Progress = Callable[[str, float], None]
"""Called with the account and how much of its sweep is done, from 0 to 1."""


def _quiet(_account: str, _done: float) -> None:
    """Nobody watches."""


class Sweeper:
    """Sweeps accounts, one after the other. Any number may run: an account is swept by one of them at a time."""

    def __init__(
        self, gateway: StripeGateway, worker: asyncpg.Pool, ingest: asyncpg.Pool, types: Collection[str], *, live: bool
    ) -> None:
        self._gateway, self._worker, self._ingest = gateway, worker, ingest
        self._types = set(types)
        self._queries = listing.queries(types)
        self._live = live

    async def due(self, every: timedelta) -> int:
        """Sweep what was not swept for so long; how many events were missing. Failures are noted with the account."""
        found = 0
        for account in await accounts(self._worker, every):
            try:
                found += await self.account(account)
            except DomainError as error:
                log.warning("sweep failed", account=account.id or "platform", error=str(error))
        return found

    async def account(self, account: Account, *, resync: bool = False, progress: Progress = _quiet) -> int:
        """Sweep one account; how many events were missing; 0 while another sweeps it. Raises Stripe's errors."""
        async with self._alone(account) as alone:
            if not alone:
                return 0
            try:
                found = await self._resync(account, progress) if resync else 0
                found += await self._listed(account, progress, resynced=resync)
            except DomainError as error:
                known = await self._understood(account, error)
                await fail(self._worker, account, redact(str(known))[:300])
                raise known from error
            if account.tenant_id is not None:
                await looking.reached(self._gateway, self._worker, account.tenant_id)
            progress(account.id, 1)
            return found

    async def _understood(self, account: Account, error: DomainError) -> DomainError:
        """*error*, or `Closed` where it says that the account has disconnected, which is then noted."""
        if account.tenant_id is None or not is_out_of_reach(error):
            return error
        whose = Whose(account.tenant_id, account.id)
        try:
            seen = await looking.look(self._gateway, self._worker, whose, Priority.SWEEP)
        except DomainError as other:
            return other
        return Closed(sentence(State.DISCONNECTED), code=State.DISCONNECTED) if seen is None else error

    @asynccontextmanager
    async def _alone(self, account: Account) -> AsyncIterator[bool]:
        """The lock is the connection's: it is free again when the process dies."""
        async with self._worker.acquire() as connection:
            key = "hashtextextended($1, $2)"
            alone: bool = await connection.fetchval(f"select pg_try_advisory_lock({key})", account.id, _LOCK)
            try:
                yield alone
            finally:
                if alone and not connection.is_closed():
                    await connection.execute(f"select pg_advisory_unlock({key})", account.id, _LOCK)

    async def _listed(self, account: Account, progress: Progress, *, resynced: bool) -> int:
        client = self._client(account)
        now = await stripe_time(client)
        oldest = now - KEPT
        cursor = await begin(self._worker, account, oldest, resynced=resynced)
        complete = resynced or cursor.complete_until >= max(cursor.swept_until, oldest)
        if not complete:
            log.warning("events are beyond Stripe's list: resync", account=account.id, since=cursor.swept_until)
        start = first = max(cursor.swept_until - OVERLAP, oldest)
        window, found = FIRST_WINDOW, 0
        while start < now:
            end = min(start + window, now)
            events = await self._window(client, start, end)
            found += await self._store(account, events)
            start = end
            await move(self._worker, account, min(end, now - SETTLING), complete=complete)
            window = window * 4 if len(events) < FEW else window / 2 if len(events) > MANY else window
            progress(account.id, (start - first) / (now - first))
        await finish(self._worker, account, found)
        SWEPT.labels("connect" if account.id else "platform").inc(found)
        return found

    async def _window(self, client: StripeClient, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """All events of the handled types that Stripe made from *start* to *end*, both included, the newest first."""
        return [event for query in self._queries for event in await query.between(client, start, end)]

    async def _resync(self, account: Account, progress: Progress) -> int:
        """Read the objects themselves, as if each had just been updated."""
        client = self._client(account)
        customers: list[str] = []
        found = 0
        sources = [source for source in swept.SOURCES if source.event in self._types]
        for place, source in enumerate(sources):
            at = await stripe_time(client)
            for done, path in enumerate(paths := source.paths(customers)):
                progress(account.id, (place + done / len(paths)) / len(sources))
                async for things in pages(client, path, source.query):
                    if source.path == swept.CUSTOMERS:
                        customers += await self._ours(account, [thing["id"] for thing in things])
                    events = [swept.as_event(source, thing, at, self._live) for thing in things]
                    found += await self._store(account, events)
        return found

    async def _ours(self, account: Account, customers: list[str]) -> list[str]:
        """Those of *customers* that are a tenant's; the platform's own account may have others."""
        return customers if account.id else await swept.known(self._worker, customers)

    async def _store(self, account: Account, events: Sequence[dict[str, Any]]) -> int:
        rows = [swept.row(event, account.id) for event in reversed(events)]  # Stripe lists the newest first
        return await swept.store(self._ingest, [row for row in rows if row.livemode == self._live])

    def _client(self, account: Account) -> StripeClient:
        client = self._gateway.account(account.id) if account.id else self._gateway.platform
        return client.bound(tenant=account.tenant_id, priority=Priority.SWEEP)

"""Importing: what Stripe lists is stored in the inbox as if each object had just been updated.

The rest is the worker's, as with any delivery, so that there is one way in which facts are applied. An object is stored
once in an import, under an id that begins with the import's (`imp_…`). The place in Stripe's list moves once a page is
stored whole: an import that was killed goes on there, and what it did twice is there once.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg

from colonnade.errors import Conflict, DomainError, Invalid, NotFound, StripeRefused, Unavailable
from colonnade.imports import store
from colonnade.imports.judging import Judged, Thing, judge
from colonnade.imports.store import Finding, Import, Owner, Step
from colonnade.observability import redact
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.charges import ChargeType, client_for, custody, qualified
from colonnade.stripe_api.client import StripeClient, StripeGateway
from colonnade.webhooks import directory, swept
from colonnade.webhooks.listing import stripe_time
from colonnade_tenants import accounts
from colonnade_tenants.partition import TenantConnection, tenant_connection
from colonnade_tenants.references import refer

PAGE = 100
_LOCK = 10
_EVENTS = {source.path: source for source in swept.SOURCES}
_CUSTOMERS, _SUBSCRIPTIONS = _EVENTS["/v1/customers"], _EVENTS["/v1/subscriptions"]

Progress = Callable[[Import], None]
"""Called after each page."""


class Importer:
    """Runs imports, one after the other. Any number may run: one of them at a time works for a tenant."""

    def __init__(self, gateway: StripeGateway, worker: asyncpg.Pool, ingest: asyncpg.Pool, *, live: bool) -> None:
        self._gateway, self._worker, self._ingest, self._live = gateway, worker, ingest, live

    async def run(self, owner: Owner, work: Import, progress: Progress) -> bool:
        """Do what is left of *work*; whether it is over: False while another process is at it.

        Raises Stripe's errors, noted with the import. What cannot help to repeat ends it as failed.
        """
        async with self._alone(owner) as alone:
            if not alone:
                return False
            now = await store.get(self._worker, owner.id, work.id)
            if now.state != "running":
                return True
            try:
                await self._pages(owner, now, progress)
                now.state, now.problem = "done", None
            except DomainError as error:
                now.state = "running" if isinstance(error, Unavailable) else "failed"
                now.problem = redact(str(error))[:300]
                raise
            finally:
                await store.save(self._worker, now)
        return True

    async def survey(self, owner: Owner, reference_key: str | None, progress: Progress) -> Import:
        """What an import would find; nothing is written. Raises Stripe's errors."""
        step: Step = "customers" if owner.charge_type is ChargeType.DIRECT else "subscriptions"
        work = Import(id="", reference_key=reference_key, step=step)
        await self._pages(owner, work, progress, dry=True)
        return work

    @asynccontextmanager
    async def _alone(self, owner: Owner) -> AsyncIterator[bool]:
        """The lock is the connection's: it is free again when the process dies."""
        async with self._worker.acquire() as connection:
            key = "hashtextextended($1, $2)"
            alone: bool = await connection.fetchval(f"select pg_try_advisory_lock({key})", owner.public_id, _LOCK)
            try:
                yield alone
            finally:
                if alone and not connection.is_closed():
                    await connection.execute(f"select pg_advisory_unlock({key})", owner.public_id, _LOCK)

    async def _pages(self, owner: Owner, work: Import, progress: Progress, *, dry: bool = False) -> None:
        client = client_for(self._gateway, owner, Priority.SWEEP)
        await self._connected(owner)
        seen: set[str] = set()
        while True:
            at = await stripe_time(client)  # before the page is read: what changes meanwhile is newer
            page, more = await _listed(client, owner, work)
            async with self._worker.acquire() as connection:
                judged = await judge(connection, owner, page, seen)
            if not dry:
                await self._adopt(owner, work, judged, at)
            judged.counts.referenced += await self._refer(owner, work, judged, dry=dry)
            work.counts.add(judged.counts)
            work.findings += judged.findings[: store.KEPT - len(work.findings)]
            finished = _move(work, page, more=more)
            if not dry:
                await store.save(self._worker, work)
            progress(work)
            if finished:
                return

    async def _connected(self, owner: Owner) -> None:
        account = custody(owner)
        if account is None:
            return
        async with tenant_connection(self._worker, owner.id) as tenant:
            mirrored = await accounts.read(tenant, account)
        if mirrored and mirrored.access.disconnected_at:
            raise Conflict("The account has disconnected: its objects cannot be read any more.")

    async def _adopt(self, owner: Owner, work: Import, judged: Judged, at: datetime) -> None:
        """Note whose the objects are, then store them: events of customers say nothing of that themselves."""
        account = custody(owner)
        events = [
            swept.as_event(source, dict(thing), at, self._live) | {"id": f"{work.id}_{thing['id']}"}
            for source, things in ((_CUSTOMERS, judged.customers), (_SUBSCRIPTIONS, judged.subscriptions))
            for thing in things
        ]
        async with tenant_connection(self._worker, owner.id) as tenant:
            await directory.register(
                tenant, (qualified(account, thing["id"]) for thing in (*judged.customers, *judged.subscriptions))
            )
        await swept.store(self._ingest, [swept.row(event, account or "") for event in events])

    async def _refer(self, owner: Owner, work: Import, judged: Judged, *, dry: bool) -> int:
        """Give the customers the references that their metadata has; how many have one."""
        references = {
            thing["id"]: reference
            for thing in judged.customers
            if work.reference_key and (reference := thing.get("metadata", {}).get(work.reference_key))
        }
        found = 0
        for customer, reference in references.items():
            try:
                try:
                    await self._refer_one(owner, customer, reference, dry=dry)
                except asyncpg.UniqueViolationError:  # an event told of the customer at the same moment
                    await self._refer_one(owner, customer, reference, dry=dry)
                found += 1
            except (Conflict, Invalid) as error:
                judged.findings.append(Finding(customer, f"reference {reference!r}: {error}"))
        return found

    async def _refer_one(self, owner: Owner, customer: str, reference: str, *, dry: bool) -> None:
        """Each in a transaction of its own, which waits for nobody while it keeps others waiting."""
        async with self._worker.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await refer(await TenantConnection.bind(connection, owner.id), customer, reference)
            except BaseException:
                await transaction.rollback()
                raise
            await (transaction.rollback() if dry else transaction.commit())


async def _listed(client: StripeClient, owner: Owner, work: Import) -> tuple[Sequence[Thing], bool]:
    """The page that follows *work*'s position, and whether more follow. One whose place is gone begins again."""
    query: dict[str, Any] = {"limit": PAGE}
    if work.step == "subscriptions":
        query["status"] = "all"
        if custody(owner) is None:
            query["expand"] = ["data.customer"]
    try:
        after = {"starting_after": work.position} if work.position else {}
        reply = await client.get(f"/v1/{work.step}", query | after)
    except (NotFound, StripeRefused):
        if work.position is None:
            raise
        work.position = None
        return await _listed(client, owner, work)
    return reply["data"], bool(reply["has_more"] and reply["data"])


def _move(work: Import, page: Sequence[Thing], *, more: bool) -> bool:
    """To the next page, or the next step; whether there is none."""
    if more:
        work.position = page[-1]["id"]
        return False
    if work.step == "subscriptions":
        return True
    work.step, work.position = "subscriptions", None
    return False

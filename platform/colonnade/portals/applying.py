"""Giving Stripe a version of a portal configuration that is noted here, and noting its answer.

No connection to the database is held while Stripe is asked.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog
from msgspec import Struct
from sqlalchemy import case, func, null

from colonnade.access.guard import Tenant
from colonnade.accounts.ownership import own
from colonnade.database.tables import portal_work
from colonnade.errors import Conflict, NotFound, StripeRefused, StripeUnavailable
from colonnade.portals import pushing, store, versions
from colonnade.portals.content import Content
from colonnade.portals.examining import Examined, examine
from colonnade.portals.leases import Lease
from colonnade.portals.pushing import Pushed, Target
from colonnade.services import Services
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.charges import client_for, custody, qualified
from colonnade.stripe_api.client import StripeClient

log = structlog.get_logger()


class Applier(Struct, frozen=True, kw_only=True):
    """Who has the lease of one configuration."""

    services: Services
    tenant: Tenant
    lease: Lease
    priority: Priority = Priority.REQUEST

    @property
    def name(self) -> str:
        """The configuration's."""
        return self.lease.name

    @property
    def client(self) -> StripeClient:
        """On the account that holds the configuration."""
        return client_for(self.services.stripe, self.tenant, self.priority)

    async def content(self, version: int) -> Content | None:
        """What the version says; None for one from before contents were kept."""
        async with self.services.database.tenant(self.tenant.id) as session:
            return (await versions.get(session, self.name, version)).content

    async def apply(self, row: store.Row, content: Content, examined: Examined | None) -> store.Row:
        """Give Stripe *content*, the row's version; `pending` where it cannot be asked.

        Raises `Invalid`, `StripeRefused`.
        """
        try:
            found = examined or await examine(self.services, self.tenant, self.client, content.offers)
            found.require_none()
            target = self._target(row.version, content, found.products)
            pushed = await self._pushed(row, target)
        except StripeUnavailable:
            log.warning("portal configuration pending", tenant=self.tenant.public_id, configuration=self.name)
            return row
        return await self._applied(row, target, pushed)

    async def done(self) -> None:
        """Nothing is left to do until the next regular look, or the next event."""
        await self._work(due_at=next_look(self.services.settings.portal_check_seconds), failures=0)

    async def _work(self, **fields: Any) -> None:
        async with self.services.database.tenant(self.tenant.id, final=False) as session:
            await self.lease.keep(session, **fields)

    def _target(self, version: int, content: Content, products: list[dict[str, Any]]) -> Target:
        return Target(tenant=self.tenant, name=self.name, version=version, content=content, products=products)

    async def _pushed(self, row: store.Row, target: Target) -> Pushed:
        known = row.stripe_configuration or await self._created(row.version)
        if known is not None:
            try:
                return await pushing.update(self.client, target, known)
            except NotFound:
                log.warning("portal configuration gone", tenant=self.tenant.public_id, configuration=self.name)
        await self._work(creating=row.version)
        try:
            return await pushing.create(self.client, target)
        except (StripeRefused, Conflict):
            await self._work(creating=None)
            raise

    async def _created(self, version: int) -> str | None:
        """What an earlier version's creation made that Stripe did not answer to, asked for once more.

        Otherwise a lost answer and a changed mind together would leave a second configuration at Stripe.
        """
        earlier = self.lease.work.creating
        if earlier is None or earlier == version:
            return None
        content = await self.content(earlier)
        if content is None:
            return None
        try:
            found = await examine(self.services, self.tenant, self.client, content.offers)
            target = self._target(earlier, content, found.products)
            return (await pushing.create(self.client, target)).stripe_configuration
        except (StripeRefused, Conflict):  # it was never made
            return None

    async def _applied(self, row: store.Row, target: Target, pushed: Pushed) -> store.Row:
        if pushed.state != target.wanted:
            log.warning("portal configuration differs", tenant=self.tenant.public_id, configuration=self.name)
        every = self.services.settings.portal_check_seconds
        async with self.services.database.tenant(self.tenant.id) as session:
            await self.lease.keep(
                session,
                objects=self._objects(pushed.stripe_configuration, target.products),
                due_at=next_look(every),
                failures=0,
                creating=None,
            )
            await own(session, self.tenant, pushed.stripe_configuration)
            return await store.note(
                session,
                self.name,
                stripe_configuration=pushed.stripe_configuration,
                applied_version=row.version,
                problem=None,
            )

    def _objects(self, stripe_configuration: str, products: Sequence[Mapping[str, Any]]) -> list[str]:
        names = [stripe_configuration]
        for product in products:
            names += [product["product"], *product["prices"]]
        return [qualified(custody(self.tenant), name) for name in names]


def next_look(every: int) -> Any:
    """When the worker looks again: in *every* seconds (0: never), or as soon as an event said since."""
    later = func.clock_timestamp() + timedelta(seconds=every) if every else null()
    return case((portal_work.c.event.is_not(None), portal_work.c.due_at), else_=later)

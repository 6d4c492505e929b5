"""Writing a portal configuration: the version is noted first, then Stripe is asked, then its answer is noted.

No connection to the database is held while Stripe is asked. What Stripe refuses at once is taken back; where it cannot
be asked, the version stays `pending`, and the worker goes on with it. A process may be killed at any point: the worker
finds the noted version when its lease has ended.
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
from colonnade.errors import Conflict, Invalid, NotFound, StripeRefused, StripeUnavailable
from colonnade.portals import pushing, store, versions
from colonnade.portals.canonical import canonical
from colonnade.portals.content import Content, content_of, links_of
from colonnade.portals.examining import Examined, examine
from colonnade.portals.leases import Lease
from colonnade.portals.offers import Offer, offers
from colonnade.portals.pushing import Pushed, Target
from colonnade.portals.settings import PortalSettings
from colonnade.portals.versions import Change
from colonnade.services import Services
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.charges import client_for, custody, qualified
from colonnade_tenants.partition import TenantSession

log = structlog.get_logger()

SOON = timedelta(seconds=2)
"""After which the worker takes up what could not be pushed."""

REFUSED = (Invalid, Conflict, StripeRefused)
"""Stripe, or what is known of its catalogue, says no, and will again."""
KEPT = ("settings", "active", "content_hash", "version", "is_default", "problem")
"""What the tenant's writes decide of a row."""


class By(Struct, frozen=True):
    """What makes a version, and who; None: Colonnade itself."""

    change: Change
    author: str | None


class Writer(Struct, frozen=True, kw_only=True):
    """One writer of one configuration, who has its lease."""

    services: Services
    tenant: Tenant
    lease: Lease
    priority: Priority = Priority.REQUEST

    @property
    def name(self) -> str:
        """The configuration's."""
        return self.lease.name

    async def write(
        self,
        settings: PortalSettings,
        by: By,
        *,
        active: bool = True,
        default: bool | None = None,
    ) -> store.Row:
        """Make *settings* the configuration's newest version; the row afterwards.

        Raises `Invalid`, `Conflict`, `StripeRefused`; after any of them nothing has changed.
        """
        async with self.services.database.tenant(self.tenant.id) as session:
            former = await store.find(session, self.name)
            await default_after(session, former, default)  # what it refuses, Stripe shall not see
            offered = await offers(session, settings.features.subscription_update.products)
            content = content_of(settings, offered, await links_of(session), active=active)
        if former is None or former.content_hash != content.digest():
            row = await self._new(former, settings, content, by, offered)
        else:
            row = former if former.applied else await self.push(former)
        return await self._as_default(row, default)

    async def _new(
        self, former: store.Row | None, settings: PortalSettings, content: Content, by: By, offered: Sequence[Offer]
    ) -> store.Row:
        examined = await self._examined(offered, settings)
        row = await self._note(former, canonical(settings), content, by)
        if examined is None:
            return row
        try:
            return await self.push(row, examined)
        except REFUSED:
            await self._take_back(row, former)
            raise

    async def _examined(self, offered: Sequence[Offer], settings: PortalSettings) -> Examined | None:
        """The catalogue's word; None while Stripe cannot be asked. Raises `Invalid`."""
        client = client_for(self.services.stripe, self.tenant, self.priority)
        try:
            update = settings.features.subscription_update
            found = await examine(self.services, self.tenant, client, offered, update)
        except StripeUnavailable:
            return None
        found.require_none()
        return found

    async def _note(self, former: store.Row | None, settings: PortalSettings, content: Content, by: By) -> store.Row:
        version = former.version + 1 if former else 1
        async with self.services.database.tenant(self.tenant.id) as session:
            await self.lease.keep(session, due_at=func.clock_timestamp() + SOON)
            row = await store.save(
                session,
                self.name,
                settings=settings,
                active=content.active,
                content_hash=content.digest(),
                version=version,
                is_default=former is not None and former.is_default,
                problem=None,
            )
            await versions.add(session, self.name, version, settings, content, change=by.change, author=by.author)
            return row

    async def push(self, row: store.Row, examined: Examined | None = None) -> store.Row:
        """Give Stripe the row's version; `pending` where it cannot be asked. *examined*: its offers, if known already.

        Raises `Invalid`, `StripeRefused`.
        """
        async with self.services.database.tenant(self.tenant.id) as session:
            content = (await versions.get(session, self.name, row.version)).content
        if content is None:  # from before versions were kept
            return await self.write(row.settings, By("upgrade", None), active=row.active)
        client = client_for(self.services.stripe, self.tenant, self.priority)
        try:
            found = examined or await examine(self.services, self.tenant, client, content.offers)
            found.require_none()
            target = self._target(row.version, content, found.products)
            pushed = await self._pushed(row, target)
        except StripeUnavailable:
            log.warning("portal configuration pending", tenant=self.tenant.public_id, configuration=self.name)
            return row
        return await self._applied(row, target, pushed)

    def _target(self, version: int, content: Content, products: list[dict[str, Any]]) -> Target:
        return Target(tenant=self.tenant, name=self.name, version=version, content=content, products=products)

    async def _pushed(self, row: store.Row, target: Target) -> Pushed:
        client = client_for(self.services.stripe, self.tenant, self.priority)
        known = row.stripe_configuration or await self._created(row.version)
        if known is not None:
            try:
                return await pushing.update(client, target, known)
            except NotFound:
                log.warning("portal configuration gone", tenant=self.tenant.public_id, configuration=self.name)
        await self._work(creating=row.version)
        try:
            return await pushing.create(client, target)
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
        async with self.services.database.tenant(self.tenant.id) as session:
            content = (await versions.get(session, self.name, earlier)).content
        if content is None:
            return None
        client = client_for(self.services.stripe, self.tenant, self.priority)
        try:
            found = await examine(self.services, self.tenant, client, content.offers)
            target = self._target(earlier, content, found.products)
            return (await pushing.create(client, target)).stripe_configuration
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

    async def _take_back(self, row: store.Row, former: store.Row | None) -> None:
        """Undo a version that Stripe refused; nothing of it stays."""
        async with self.services.database.tenant(self.tenant.id) as session:
            await self.lease.keep(session, creating=self.lease.work.creating)
            await versions.remove(session, self.name, row.version)
            if former is None:
                await store.remove(session, self.name)
                await self.lease.keep(session, due_at=None)
                return
            await store.save(session, self.name, **{name: getattr(former, name) for name in (*KEPT, "updated_at")})

    async def _as_default(self, row: store.Row, wanted: bool | None) -> store.Row:
        """At the end, since another configuration's is taken: the tenant's first, and one that shall be, are it."""
        async with self.services.database.tenant(self.tenant.id) as session:
            await store.lock(session, "portal default")
            is_default = await default_after(session, row, wanted)
            if is_default == row.is_default:
                return row
            await self.lease.keep(session)
            return await store.save(
                session, self.name, **{name: getattr(row, name) for name in KEPT} | {"is_default": is_default}
            )

    async def done(self) -> None:
        """Nothing is left to do until the next regular look, or the next event."""
        await self._work(due_at=next_look(self.services.settings.portal_check_seconds), failures=0)

    async def _work(self, **fields: Any) -> None:
        async with self.services.database.tenant(self.tenant.id) as session:
            await self.lease.keep(session, **fields)


def next_look(every: int) -> Any:
    """When the worker looks again: in *every* seconds (0: never), or as soon as an event said since."""
    later = func.clock_timestamp() + timedelta(seconds=every) if every else null()
    return case((portal_work.c.event.is_not(None), portal_work.c.due_at), else_=later)


async def default_after(session: TenantSession, former: store.Row | None, wanted: bool | None) -> bool:
    """Whether it is the tenant's default after a write that says *wanted*. Raises `Conflict`: a tenant has one."""
    current = await store.default(session)
    if wanted is False and (current is None or (former is not None and current.name == former.name)):
        raise Conflict("A tenant has one default: make another configuration the default instead.", "default")
    if wanted is None:
        return current is None or (former is not None and former.is_default)
    return wanted

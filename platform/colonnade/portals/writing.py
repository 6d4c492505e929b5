"""Writing a portal configuration: the version is noted first, then Stripe is asked (see `applying`).

What Stripe refuses at once is taken back; where it cannot be asked, the version stays `pending`, and the worker goes on
with it. A process may be killed at any point: the worker finds the noted version when its lease has ended.
"""

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct
from sqlalchemy import func

from colonnade.errors import Conflict, Invalid, StripeRefused, StripeUnavailable
from colonnade.portals import logged, store, versions
from colonnade.portals.applying import Applier
from colonnade.portals.canonical import canonical
from colonnade.portals.content import Content, content_of, links_of
from colonnade.portals.defaults import default_after
from colonnade.portals.examining import Examined, examine
from colonnade.portals.offers import Offer, offers
from colonnade.portals.settings import PortalSettings
from colonnade.portals.versions import Change

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


class Writer(Applier, frozen=True, kw_only=True):
    """One writer of one configuration, who has its lease."""

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
            is_default = await default_after(session, former, default)  # what it refuses, Stripe shall not see
            offered = await offers(session, settings.features.subscription_update.products)
            content = content_of(settings, offered, await links_of(session), active=active)
        same = former is not None and former.content_hash == content.digest()
        version = 1 if former is None else former.version if same else former.version + 1
        logged.write(former, version=version, active=active, default=is_default)
        if former is None or not same:
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
        try:
            update = settings.features.subscription_update
            found = await examine(self.services, self.tenant, self.client, offered, update)
        except StripeUnavailable:
            return None
        found.require_none()
        return found

    async def _note(self, former: store.Row | None, settings: PortalSettings, content: Content, by: By) -> store.Row:
        version = former.version + 1 if former else 1
        async with self.services.database.tenant(self.tenant.id, final=False) as session:
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
        content = await self.content(row.version)
        if content is None:  # from before versions were kept
            return await self.write(row.settings, By("upgrade", None), active=row.active)
        return await self.apply(row, content, examined)

    async def _take_back(self, row: store.Row, former: store.Row | None) -> None:
        """Undo a version that Stripe refused; nothing of it stays."""
        async with self.services.database.tenant(self.tenant.id, final=False) as session:
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

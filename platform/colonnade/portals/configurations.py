"""Portal configurations as desired state: what the tenant wrote is what Stripe shall have.

A configuration has a version for each content that Stripe took or, while it cannot be asked, shall take. The same
content again writes nothing at Stripe.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Literal

import msgspec
import structlog
from msgspec.structs import replace

from colonnade.access.actors import Tell
from colonnade.access.guard import Tenant
from colonnade.errors import Conflict, DomainError, Invalid
from colonnade.etags import etag, require_match
from colonnade.portals import current_prices, drift, store, versions
from colonnade.portals.content import content_of, links_of
from colonnade.portals.current_prices import Caution
from colonnade.portals.drifts import Drift
from colonnade.portals.leases import held
from colonnade.portals.offers import offers
from colonnade.portals.rules import checked
from colonnade.portals.settings import PortalSettings
from colonnade.portals.writing import By, Writer
from colonnade.services import Services
from colonnade_tenants import values
from colonnade_tenants.partition import TenantSession

log = structlog.get_logger()

PUT = By("put", None)


class PutConfiguration(PortalSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The desired state; *default* left out keeps what it is, and makes a tenant's first configuration the default."""

    default: bool | None = None

    @property
    def settings(self) -> PortalSettings:
        """Without what is no setting."""
        return PortalSettings(**{field: getattr(self, field) for field in PortalSettings.__struct_fields__})


class PortalConfiguration(PortalSettings, frozen=True, kw_only=True):
    """A configuration, as the API shows it.

    *state* is `pending` while Stripe does not have this *version* yet, `refused` if it does not take it, with why in
    *problem*. Sessions use what Stripe has (*applied_version*). *active* is false once it was deactivated. *drift*:
    what was found to differ at Stripe last. *warnings* come with answers to writes alone.
    """

    name: str
    default: bool
    active: bool
    version: int
    applied_version: int | None
    state: Literal["applied", "pending", "refused"]
    problem: str | None
    drift: Drift | None
    warnings: tuple[Caution, ...] = ()
    stripe_configuration: str | None
    created_at: datetime
    updated_at: datetime


class _Tagged(msgspec.Struct):
    """What an `ETag` is of: what the tenant writes, not what happens at Stripe meanwhile."""

    name: str
    settings: PortalSettings
    version: int
    default: bool


def shown(row: store.Row, tell: Tell, warnings: Sequence[Caution] = ()) -> PortalConfiguration:
    """The row, as the API shows it where who acted is shown as *tell* says."""
    return PortalConfiguration(
        **msgspec.structs.asdict(row.settings),
        name=row.name,
        default=row.is_default,
        active=row.active,
        version=row.version,
        applied_version=row.applied_version,
        state="applied" if row.applied else "refused" if row.problem else "pending",
        problem=row.problem,
        drift=row.drift and replace(row.drift, resolved_by=tell(row.drift.resolved_by)),
        warnings=tuple(warnings),
        stripe_configuration=row.stripe_configuration,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _tagged(row: store.Row) -> _Tagged:
    return _Tagged(row.name, row.settings, row.version, row.is_default)


def tag(row: store.Row) -> str:
    """The row's `ETag`."""
    return etag(_tagged(row))


def unchanged_since(if_match: str | None, row: store.Row | None) -> None:
    """Raise `PreconditionFailed` unless *if_match* names the row."""
    require_match(if_match, row and _tagged(row))


async def put(
    services: Services,
    tenant: Tenant,
    name: str,
    wanted: PutConfiguration,
    if_match: str | None = None,
    by: By = PUT,
    *,
    strict: bool = False,
) -> tuple[store.Row, list[Caution]]:
    """Make the configuration what is *wanted*, here and at Stripe; `pending` where Stripe cannot be asked.

    *strict*: what would only be warned of is refused. Raises `Invalid`, `Conflict`, `PreconditionFailed`, and
    `StripeRefused`; after any of them nothing has changed.
    """
    values.key(name, "name")
    settings = checked(wanted.settings, tenant)
    async with services.database.tenant(tenant.id) as session:
        unchanged_since(if_match, await store.find(session, name))
        found = await warnings(session, settings)
    if strict:
        for warning in found:
            raise Invalid(warning.detail, warning.param)
    async with held(services.database, tenant.id, name) as lease:
        if if_match is not None:
            async with services.database.tenant(tenant.id) as session:
                unchanged_since(if_match, await store.find(session, name))
        writer = Writer(services=services, tenant=tenant, lease=lease)
        return await writer.write(settings, by, default=wanted.default), found


async def warnings(session: TenantSession, settings: PortalSettings) -> list[Caution]:
    """What the tenant should know of *settings*. Raises `Invalid`."""
    offered = await offers(session, settings.features.subscription_update.products)
    return await current_prices.warnings(session, content_of(settings, offered, await links_of(session)))


async def apply(services: Services, tenant: Tenant, name: str, if_match: str | None, author: str | None) -> store.Row:
    """Give Stripe what was written last, if it does not have it, and what that refers to by now.

    Raises `NotFound`, `Invalid`, `PreconditionFailed`, `StripeRefused`.
    """
    async with _opened(services, tenant, name, if_match) as (writer, row):
        return await writer.write(row.settings, By("put", author), active=row.active)


async def rollback(
    services: Services, tenant: Tenant, name: str, version: int, if_match: str | None, author: str | None
) -> store.Row:
    """A new version with the settings of an earlier one. Raises `NotFound`, and what `put` raises."""
    async with services.database.tenant(tenant.id) as session:
        await store.get(session, name)
        earlier = await versions.get(session, name, version)
    checked(earlier.settings, tenant)  # the tenant's return origins may be others by now
    async with _opened(services, tenant, name, if_match) as (writer, row):
        if row.is_default and not earlier.active:
            raise Conflict("The default stays active: make another configuration the default first.", "version")
        return await writer.write(earlier.settings, By("rollback", author), active=earlier.active)


async def deactivate(
    services: Services, tenant: Tenant, name: str, if_match: str | None, author: str | None
) -> store.Row:
    """Let no session use it any more; the next `put` makes it active again. Raises `NotFound`, `Conflict`."""
    async with _opened(services, tenant, name, if_match) as (writer, row):
        if row.is_default:
            raise Conflict("The default stays active: make another configuration the default first.", "name")
        return await writer.write(row.settings, By("deactivate", author), active=False)


async def check(services: Services, tenant: Tenant, name: str) -> store.Row:
    """Look at Stripe now, as the worker does from time to time. Raises what `drift.look` raises."""
    async with _opened(services, tenant, name) as (writer, _):
        return await drift.look(writer)


async def adopt(services: Services, tenant: Tenant, name: str, if_match: str | None, author: str | None) -> store.Row:
    """Make what Stripe has the newest version. Raises what `drift.adopt` raises."""
    async with _opened(services, tenant, name, if_match) as (writer, _):
        return await drift.adopt(writer, author)


async def revert(services: Services, tenant: Tenant, name: str, if_match: str | None, author: str | None) -> store.Row:
    """Undo what others changed at Stripe. Raises what `drift.revert` raises."""
    async with _opened(services, tenant, name, if_match) as (writer, _):
        return await drift.revert(writer, author)


async def refresh(services: Services, tenant: Tenant) -> None:
    """Push anew whatever refers to a legal link that changed since."""
    after: str | None = None
    while True:
        async with services.database.tenant(tenant.id) as session:
            rows = await store.page(session, after, 100)
        for row in rows:
            try:
                async with _opened(services, tenant, row.name) as (writer, now):
                    await writer.write(now.settings, By("branding", None), active=now.active)
            except DomainError as error:
                log.warning("portal configuration stays", configuration=row.name, reason=error.message)
        if len(rows) < 100:
            return
        after = rows[-1].name


@asynccontextmanager
async def _opened(
    services: Services, tenant: Tenant, name: str, if_match: str | None = None
) -> AsyncIterator[tuple[Writer, store.Row]]:
    """The writer of a configuration that exists. Raises `NotFound`, `PreconditionFailed`, `Unavailable`."""
    async with services.database.tenant(tenant.id) as session:
        await store.get(session, name)
    async with held(services.database, tenant.id, name) as lease:
        async with services.database.tenant(tenant.id) as session:
            row = await store.get(session, name)
        unchanged_since(if_match, row)
        yield Writer(services=services, tenant=tenant, lease=lease), row

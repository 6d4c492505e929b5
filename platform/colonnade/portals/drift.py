"""Comparing what a tenant wrote with what Stripe has, and what is done about a difference.

An edit from outside is reported, and adopted or reverted: by the tenant, or by its policy at once. A price that was
archived is taken out of the configuration whatever the policy says, since the portal's update page fails with it;
only where there are edits from outside too, which that would undo, is it left to the tenant with them.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import structlog
from msgspec.structs import replace

from colonnade.errors import Conflict, NotFound
from colonnade.observability import PORTAL_DRIFT
from colonnade.portals import logged, policy, pushing, store, stripe_state, versions
from colonnade.portals.content import Content, links_of
from colonnade.portals.differences import Difference, differences
from colonnade.portals.drifts import Archived, Drift
from colonnade.portals.examining import examine
from colonnade.portals.offers import PATH, offers
from colonnade.portals.repair import without
from colonnade.portals.rules import checked
from colonnade.portals.settings import PortalProduct, PortalSettings
from colonnade.portals.states import State
from colonnade.portals.stripe_state import EXPAND
from colonnade.portals.writing import By, Writer
from colonnade.stripe_api.charges import client_for

log = structlog.get_logger()


async def look(writer: Writer) -> store.Row:
    """Compare, note what differs, and do what the policy says; the row afterwards.

    Raises `NotFound`, `Conflict`, `StripeRefused`, `StripeUnavailable`.
    """
    row, content = await _applied(writer)
    if content is None:
        return await writer.write(row.settings, By("upgrade", None), active=row.active)
    found = await _compare(writer, row, content)
    if found is None:
        gone = row.drift if row.drift and row.drift.state == "open" else None
        return await _note(writer, _resolved(gone, "reverted", None)) if gone else row
    if found != row.drift:
        PORTAL_DRIFT.labels("edited" if found.differences else "archived").inc()
        log.warning("portal configuration drifted", tenant=writer.tenant.public_id, configuration=writer.name)
    row = await _note(writer, found)
    async with writer.services.database.tenant(writer.tenant.id) as session:
        wanted = (await policy.get(session)).drift
    if found.differences and wanted == "report":
        return row
    return await _resolve(writer, found, None)


async def revert(writer: Writer, author: str | None) -> store.Row:
    """Make Stripe's configuration again what was written, without what cannot be sold any more.

    Raises `NotFound`, `Conflict` while nothing was applied, `StripeRefused`, `StripeUnavailable`.
    """
    row, content = await _applied(writer)
    if content is None:
        return await writer.write(row.settings, By("upgrade", None), active=row.active)
    found = await _compare(writer, row, content)
    if found is None:
        logged.nothing()
        return row
    logged.edits(row, found)
    return await _resolve(writer, found, author)


async def adopt(writer: Writer, author: str | None) -> store.Row:
    """Make what Stripe has the configuration's newest version; products that others listed there are no plans.

    Raises `Conflict` where something there is not known here or nothing was applied, and what `Writer.write` raises.
    """
    row, content = await _applied(writer)
    if content is None:
        return await writer.write(row.settings, By("upgrade", None), active=row.active)
    found = await _compare(writer, row, content)
    if found is None:
        logged.nothing()
        return row
    logged.edits(row, found)
    now = stripe_state.read(await _read(writer, row))
    if row.is_default and not now.active:
        raise Conflict("The default stays active: revert, or make another configuration the default first.", "name")
    settings = now.settings
    if not any(each.field.startswith(PATH) for each in found.differences):
        settings = _with_products(settings, row.settings.features.subscription_update.products)
    async with writer.services.database.tenant(writer.tenant.id) as session:
        settings = checked(_without_links(settings, await links_of(session)), writer.tenant)
    settings = await _without_archived(writer, settings, found)
    await writer.write(settings, By("adopt", author), active=now.active)
    return await _note(writer, _resolved(found, "adopted", author))


async def _resolve(writer: Writer, found: Drift, author: str | None) -> store.Row:
    """Push what was written, in a version without what is archived if anything is."""
    async with writer.services.database.tenant(writer.tenant.id) as session:
        row = await store.get(session, writer.name)
    state: Literal["reverted", "repaired"] = "reverted" if found.differences else "repaired"
    if found.archived:
        settings = await _without_archived(writer, row.settings, found)
        row = await writer.write(settings, By("repair", author), active=row.active)
    else:
        row = await writer.push(row)
    if not row.applied:  # Stripe cannot be asked; the worker goes on with it
        return row
    return await _note(writer, _resolved(found, state, author))


async def _without_archived(writer: Writer, settings: PortalSettings, found: Drift) -> PortalSettings:
    async with writer.services.database.tenant(writer.tenant.id) as session:
        offered = await offers(session, settings.features.subscription_update.products)
    return without(settings, offered, {each.price for each in found.archived})


async def _applied(writer: Writer) -> tuple[store.Row, Content | None]:
    """The row, and what Stripe was given last; None: it was not kept then."""
    async with writer.services.database.tenant(writer.tenant.id) as session:
        row = await store.get(session, writer.name)
        if row.stripe_configuration is None or row.applied_version is None:
            raise Conflict("Stripe does not have this configuration yet.", "name")
        return row, (await versions.get(session, writer.name, row.applied_version)).content


async def _read(writer: Writer, row: store.Row) -> dict[str, Any]:
    client = client_for(writer.services.stripe, writer.tenant, writer.priority)
    return await client.get(f"{pushing.PATH}/{row.stripe_configuration}", {"expand": EXPAND})


async def _compare(writer: Writer, row: store.Row, content: Content) -> Drift | None:
    client = client_for(writer.services.stripe, writer.tenant, writer.priority)
    examined = await examine(writer.services, writer.tenant, client, content.offers)
    archived = [
        Archived(each.product, each.price, each.detail) for each in examined.problems if each.archived and each.price
    ]
    try:
        now = await _read(writer, row)
        differ, since = _differences(stripe_state.wanted(content, examined.products), now), _seconds(now["updated"])
    except NotFound:
        differ, since = [Difference("stripe_configuration", row.stripe_configuration, None)], datetime.now(UTC)
    if not differ and not archived:
        return None
    return _drift(writer, row, differ, archived, since)


def _differences(wanted: State, now: dict[str, Any]) -> list[Difference]:
    try:
        return differences(wanted, stripe_state.read(now))
    except Conflict as error:
        return [Difference("settings", None, error.message)]


def _drift(
    writer: Writer, row: store.Row, differ: list[Difference], archived: Sequence[Archived], since: datetime
) -> Drift:
    """The same finding keeps when and how it was found."""
    old = row.drift
    if old is not None and old.state == "open" and (old.differences, old.archived) == (differ, [*archived]):
        return old
    work = writer.lease.work
    return Drift(
        state="open",
        differences=differ,
        archived=[*archived],
        since=work.event_at or since,
        event=work.event,
        found_at=datetime.now(UTC),
    )


def _resolved(drift: Drift, state: Literal["reverted", "adopted", "repaired"], by: str | None) -> Drift:
    return replace(drift, state=state, resolved_at=datetime.now(UTC), resolved_by=by)


async def _note(writer: Writer, drift: Drift) -> store.Row:
    async with writer.services.database.tenant(writer.tenant.id) as session:
        await writer.lease.keep(session)
        return await store.note(session, writer.name, drift=drift)


def _without_links(settings: PortalSettings, links: Mapping[str, str]) -> PortalSettings:
    """Legal links that are the branding's go on being so."""
    profile = settings.business_profile
    inherited = {name: None for name, url in links.items() if getattr(profile, name) == url}
    return replace(settings, business_profile=replace(profile, **inherited))


def _with_products(settings: PortalSettings, products: tuple[PortalProduct, ...]) -> PortalSettings:
    update = replace(settings.features.subscription_update, products=products)
    return replace(settings, features=replace(settings.features, subscription_update=update))


def _seconds(unix: int) -> datetime:
    return datetime.fromtimestamp(unix, UTC)

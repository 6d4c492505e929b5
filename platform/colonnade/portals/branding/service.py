"""A tenant's branding: kept here, pushed to its connected account, from where Stripe's pages take it."""

import hashlib
from typing import Any

import msgspec

from colonnade.access import audit
from colonnade.access.guard import Tenant
from colonnade.errors import NotFound
from colonnade.etags import require_match
from colonnade.portals import store as locks
from colonnade.portals.branding import contrast, pushing, steps, store
from colonnade.portals.branding.images import KINDS, Kind, accepted
from colonnade.portals.branding.settings import CLEARABLE, LINKS, Branding, BrandingView, ImageView, checked
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of
from colonnade_tenants.partition import TenantSession

_LOGGED = (
    *("name", "primary_color", "secondary_color"),
    *("support_email", "support_phone", "support_url", "privacy_policy_url", "terms_of_service_url"),
)
_LOGGED_IMAGE = ("sha256", "width", "height", "bytes")


async def get(session: TenantSession, tenant: Tenant) -> BrandingView:
    """What the tenant asked for last; all null before that."""
    row, images = await store.find(session), await store.found_images(session)
    if row is None:
        return BrandingView()
    shown = {kind: _image(tenant, images[kind]) for kind in KINDS if kind in images}
    return BrandingView(
        **row.settings,
        icon=shown.get("icon"),
        logo=shown.get("logo"),
        state=row.state,
        problem=row.problem,
        steps=steps.to_do(row, tenant, shown),
        contrast=contrast.of(row.settings.get("primary_color"), row.settings.get("secondary_color")),
        updated_at=row.updated_at,
    )


async def legal_links(session: TenantSession) -> dict[str, str]:
    """The links that the tenant's portal configurations have where they name none."""
    row = await store.find(session)
    return {name: row.settings[name] for name in LINKS if name in row.settings} if row else {}


async def put(services: Services, tenant: Tenant, wanted: Branding, if_match: str | None) -> BrandingView:
    """Keep *wanted* and push it to the account. Raises `Conflict`, `Invalid`, `PreconditionFailed`."""
    account_of(tenant)
    settings = msgspec.to_builtins(checked(wanted))
    async with services.database.tenant(tenant.id) as session:
        former = await _edited(session, tenant, if_match)
        before = audit.named(former.settings, *_LOGGED) if former else None
        audit.note(before=before, after=audit.named(settings, *_LOGGED))
        if former and former.state == "applied" and former.settings == settings:
            return await get(session, tenant)
        # A null is kept until Stripe has cleared that field.
        cleared = {name: None for name in CLEARABLE if former and name in former.settings}
        await store.ask_for(session, cleared | settings)
    return await _pushed(services, tenant)


async def put_image(
    services: Services, tenant: Tenant, kind: Kind, content: bytes, if_match: str | None
) -> BrandingView:
    """Keep what is made of the picture and push it to the account. Raises as `put`."""
    account_of(tenant)
    image = await accepted(content, kind)
    async with services.database.tenant(tenant.id) as session:
        former = await _edited(session, tenant, if_match)
        known = (await store.found_images(session)).get(kind)
        if former and former.state == "applied" and known and known.digest == image.digest:
            return await get(session, tenant)
        await store.save_image(session, kind, image)
        _note_image(tenant, known, (await store.found_images(session))[kind])
        await store.ask_for(session, former.settings if former else {})
    return await _pushed(services, tenant)


async def delete_image(services: Services, tenant: Tenant, kind: Kind, if_match: str | None) -> BrandingView:
    """Forget the picture here; the account keeps it, because Stripe lets nobody unset one. Raises `NotFound`."""
    async with services.database.tenant(tenant.id) as session:
        await _edited(session, tenant, if_match)
        known = (await store.found_images(session)).get(kind)
        if known is None:
            raise NotFound(f"This tenant has no {kind} here.", "kind")
        _note_image(tenant, known, None)
        await store.forget_image(session, kind)
        return await get(session, tenant)


async def image(session: TenantSession, kind: Kind) -> tuple[bytes, str]:
    """The PNG that was made of the upload, and its SHA-256. Raises `NotFound`."""
    content = (await store.contents(session)).get(kind)
    if content is None:
        raise NotFound(f"This tenant has no {kind} here.", "kind")
    return content, hashlib.sha256(content).hexdigest()


async def push_again(services: Services, tenant: Tenant) -> BrandingView:
    """Send the account all of the branding once more, as where someone changed it at Stripe. Raises `NotFound`."""
    account_of(tenant)
    async with services.database.tenant(tenant.id) as session:
        former = await _edited(session, tenant, None)
        if former is None:
            raise NotFound("This tenant has no branding yet.")
        await store.forget_files(session)
        await store.ask_for(session, former.settings)
    return await _pushed(services, tenant)


async def _edited(session: TenantSession, tenant: Tenant, if_match: str | None) -> store.Row | None:
    """What is there before an edit, until whose end no other edit begins."""
    await locks.lock(session, "branding")
    former = await store.find(session)
    require_match(if_match, await get(session, tenant) if former else None)
    return former


async def _pushed(services: Services, tenant: Tenant) -> BrandingView:
    await pushing.push(services.database.tenant, services.stripe, tenant.id, account_of(tenant))
    async with services.database.tenant(tenant.id) as session:
        return await get(session, tenant)


def _note_image(tenant: Tenant, *known: store.ImageRow | None) -> None:
    before, after = (audit.named(_image(tenant, row), *_LOGGED_IMAGE) if row else None for row in known)
    audit.note(before=before, after=after)


def _image(tenant: Tenant, row: store.ImageRow) -> ImageView:
    fields: dict[str, Any] = {name: getattr(row, name) for name in ("width", "height", "stripe_file", "updated_at")}
    url = f"/v1/tenants/{tenant.public_id}/branding/images/{row.kind}"
    return ImageView(url=url, bytes=row.size, sha256=row.digest.hex(), **fields)

"""Putting a preview together from what is saved, or from what a tenant is about to save."""

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct, structs, to_builtins

from colonnade.access.guard import Tenant
from colonnade.errors import DomainError, Invalid
from colonnade.portals import branding, store
from colonnade.portals.branding import settings as brands
from colonnade.portals.branding import store as brand_store
from colonnade.portals.branding.images import Kind
from colonnade.portals.configurations import PutConfiguration
from colonnade.portals.offers import Offer, offers
from colonnade.portals.preview import sample, steps
from colonnade.portals.preview.page import Device, Page, Visit, rendered
from colonnade.portals.preview.steps import Example, Step
from colonnade.portals.reasons import reason
from colonnade.portals.rules import checked
from colonnade.portals.settings import PortalSettings
from colonnade.services import Services
from colonnade.stripe_api.charges import client_for
from colonnade_portal_page.brand import Brand, palette
from colonnade_portal_page.messages import Language

Locale = Literal["en", "de", "fr"]


class Unsaved(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tenant is about to save; a part that is left out is as it was saved."""

    configuration: PutConfiguration | None = None
    branding: brands.Branding | None = None


class _Saved(Struct, frozen=True):
    settings: PortalSettings
    branding: brands.Branding
    images: dict[Kind, bytes]
    offers: list[Offer]


class Look(Struct, frozen=True):
    """What is to be seen: the page of *step*, None: the home page; on which device, and in which language."""

    step: Step | None
    device: Device | None
    locale: Locale


async def preview(services: Services, tenant: Tenant, name: str, unsaved: Unsaved, look: Look) -> Page:
    """The page. Raises `NotFound`, `Invalid`; without Stripe, an example stands for what is offered."""
    found = await _saved(services, tenant, name, unsaved)
    features = found.settings.features
    if look.step is not None and not getattr(features, look.step).enabled:
        raise Invalid(reason("feature_off", feature=look.step).message, "page")
    t, now = Language(look.locale), datetime.now(UTC)
    profile = found.settings.business_profile
    links = {link: getattr(profile, link) or getattr(found.branding, link) for link in brands.LINKS}
    visit = Visit(
        {"business_profile": links | {"headline": profile.headline}, "features": to_builtins(features)},
        found.settings.default_return_url,
    )
    prices = await _prices(services, tenant, found.offers, every=look.step == "subscription_update")
    price = next(iter(prices.values()), sample.EXAMPLE)
    example = Example(found.settings, found.offers if prices else (), prices, price, now, t)
    page = steps.drawn(look.step, example) if look.step else sample.home(features, price, now, t)
    return rendered(_brand(tenant, found), visit, page, t, look.device)


async def _saved(services: Services, tenant: Tenant, name: str, unsaved: Unsaved) -> _Saved:
    wanted = unsaved.configuration
    async with services.database.tenant(tenant.id) as session:
        if wanted is None:
            settings = (await store.get(session, name)).settings
        else:
            settings = checked(PortalSettings(**_fields(wanted, PortalSettings)), tenant)
        look = unsaved.branding or await branding.get(session, tenant)
        return _Saved(
            settings,
            brands.checked(brands.Branding(**_fields(look, brands.Branding))),
            await brand_store.contents(session),
            await offers(session, settings.features.subscription_update.products),
        )


def _fields(value: Struct, kind: type[Struct]) -> dict[str, Any]:
    """Those of *value*'s fields that *kind* has."""
    return {field: getattr(value, field) for field in (each.name for each in structs.fields(kind))}


async def _prices(
    services: Services, tenant: Tenant, offered: list[Offer], *, every: bool
) -> dict[str, dict[str, Any]]:
    """What is offered by price id, in that order; the first alone unless *every*. Empty where Stripe does not say."""
    names = [name for offer in offered for name in offer.prices]
    client = client_for(services.stripe, tenant)
    try:
        reads = (client.get(f"/v1/prices/{name}", {"expand": ["product"]}) for name in names[: None if every else 1])
        found = await asyncio.gather(*reads)
    except DomainError:
        return {}
    return {price["id"]: price for price in found if price.get("recurring")}


def _brand(tenant: Tenant, found: _Saved) -> Brand:
    """Pictures are in the page itself: whoever looks at it has no key to load them with."""
    wanted = found.branding
    primary, secondary = palette(wanted.primary_color, wanted.secondary_color)
    images = {kind: f"data:image/png;base64,{base64.b64encode(png).decode()}" for kind, png in found.images.items()}
    return Brand(
        name=wanted.name or tenant.name,
        icon=images.get("icon"),
        logo=images.get("logo"),
        primary=primary,
        secondary=secondary,
        support_email=wanted.support_email,
        support_phone=wanted.support_phone,
        support_url=wanted.support_url,
    )

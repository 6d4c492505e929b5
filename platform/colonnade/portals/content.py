"""What a version is made of: the settings with everything that they refer to."""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from colonnade.portals import branding
from colonnade.portals.canonical import canonical
from colonnade.portals.offers import Offer
from colonnade.portals.settings import PortalSettings
from colonnade_tenants.partition import TenantSession


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """In canonical form. A changed plan or legal link makes another content, and so another version.

    *settings* have the links of the branding where they name none; *offers* are sorted.
    """

    settings: PortalSettings
    offers: tuple[Offer, ...]
    active: bool = True

    def digest(self) -> bytes:
        """Equal for content that means the same: SHA-256 of its canonical form."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).digest()


def content_of(
    settings: PortalSettings, offered: Sequence[Offer], links: Mapping[str, str], *, active: bool = True
) -> Content:
    """The content of *settings*, whose products are *offered*, with the tenant's legal *links*."""
    profile = settings.business_profile
    missing = {name: url for name, url in links.items() if getattr(profile, name) is None}
    plain = canonical(replace(settings, business_profile=replace(profile, **missing)))
    # A feature that is off is without its details, and so without products.
    sold = [replace(each, prices=tuple(sorted({*each.prices}))) for each in offered]
    if not settings.features.subscription_update.enabled:
        sold = []
    sold.sort(key=lambda each: (each.product or "", each.prices))
    return Content(settings=plain, offers=tuple(sold), active=active)


async def links_of(session: TenantSession) -> dict[str, str]:
    """The legal links of the tenant's branding."""
    return await branding.legal_links(session)

"""Portal configurations as desired state: what the tenant wrote is what Stripe shall have.

A configuration has a version for each content that Stripe took or, while it cannot be asked, shall take. The same
content again writes nothing at Stripe.
"""

import hashlib
from datetime import datetime
from typing import Any, Literal

import msgspec
import structlog

from colonnade.access.guard import Tenant
from colonnade.accounts.ownership import own
from colonnade.errors import Conflict, DomainError, StripeRefused, StripeUnavailable
from colonnade.etags import require_match
from colonnade.portals import branding, store
from colonnade.portals.offers import Offer, by_product, offers
from colonnade.portals.rules import checked
from colonnade.portals.settings import PortalSettings
from colonnade.portals.stripe_form import parameters
from colonnade.services import Services
from colonnade.stripe_api.charges import client_for
from colonnade_tenants import values
from colonnade_tenants.ids import new_id
from colonnade_tenants.partition import TenantSession

log = structlog.get_logger()

_PATH = "/v1/billing_portal/configurations"


class PutConfiguration(PortalSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The desired state; *default* left out keeps what it is, and makes a tenant's first configuration the default."""

    default: bool | None = None


class PortalConfiguration(PortalSettings, frozen=True, kw_only=True):
    """A configuration, as the API shows it. *state* is `pending` while Stripe does not have this *version* yet."""

    name: str
    default: bool
    version: int
    state: Literal["applied", "pending"]
    stripe_configuration: str | None
    created_at: datetime
    updated_at: datetime


def shown(row: store.Row) -> PortalConfiguration:
    """The row, as the API shows it."""
    return PortalConfiguration(
        **msgspec.structs.asdict(row.settings),
        name=row.name,
        default=row.is_default,
        version=row.version,
        state="applied" if row.applied_version == row.version else "pending",
        stripe_configuration=row.stripe_configuration,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


async def put(
    services: Services, tenant: Tenant, name: str, wanted: PutConfiguration, if_match: str | None = None
) -> PortalConfiguration:
    """Make the configuration what is *wanted*, here and at Stripe; `pending` where Stripe cannot be asked.

    Raises `Invalid`, `Conflict`, `PreconditionFailed`, and `StripeRefused`; after any of them nothing has changed.
    """
    values.key(name, "name")
    given = {field: getattr(wanted, field) for field in PortalSettings.__struct_fields__}
    settings = checked(PortalSettings(**given), tenant)
    async with services.database.tenant(tenant.id) as session:
        # Held while Stripe is asked: of two writers the later one wins at Stripe and here alike.
        await store.lock(session, f"portal configuration {name}")
        former = await store.find(session, name)
        require_match(if_match, former and shown(former))
        await _is_default(session, former, wanted.default)  # what it refuses, Stripe shall not see
        content = await _content(session, settings)
        fields = await _applied(services, tenant, name, former, content)
        await store.lock(session, "portal default")
        fields |= {"settings": settings, "is_default": await _is_default(session, former, wanted.default)}
        if former and all(getattr(former, field) == value for field, value in fields.items()):
            return shown(former)
        if fields["stripe_configuration"]:
            await own(session, tenant, fields["stripe_configuration"])
        return shown(await store.save(session, name, **fields))


class _Content(msgspec.Struct, frozen=True):
    """The settings with everything that they refer to, so that a changed plan or legal link is a new version."""

    settings: PortalSettings
    offers: list[Offer]

    def digest(self) -> bytes:
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).digest()


async def _content(session: TenantSession, settings: PortalSettings) -> _Content:
    offered = await offers(session, settings.features.subscription_update.products)
    links = await branding.legal_links(session)
    profile = settings.business_profile
    missing = {name: url for name, url in links.items() if getattr(profile, name) is None}
    complete = msgspec.structs.replace(profile, **missing)
    return _Content(msgspec.structs.replace(settings, business_profile=complete), offered)


async def _applied(
    services: Services, tenant: Tenant, name: str, former: store.Row | None, content: _Content
) -> dict[str, Any]:
    """The row's fields after Stripe was asked to have *content*. Raises `StripeRefused`, `Invalid`."""
    digest = content.digest()
    same = former is not None and former.content_hash == digest
    version = former.version + (not same) if former else 1
    stripe_configuration = former.stripe_configuration if former else None
    applied_version = former.applied_version if former else None
    if applied_version != version:
        try:
            key = f"portal:{tenant.public_id}:{name}:{version}:{digest.hex()[:16]}"
            # A repeated update must not be answered with the first one's stored failure; a repeated creation must be
            # the same request, or Stripe would make two.
            key += f":{new_id('try')}" if same and stripe_configuration else ""
            stripe_configuration = await _push(services, tenant, name, stripe_configuration, content, version, key)
            applied_version = version
        except StripeUnavailable:
            log.warning("portal configuration pending", tenant=tenant.public_id, configuration=name, version=version)
    return {
        "content_hash": digest,
        "version": version,
        "stripe_configuration": stripe_configuration,
        "applied_version": applied_version,
    }


async def _push(
    services: Services, tenant: Tenant, name: str, known: str | None, content: _Content, version: int, key: str
) -> str:
    client = client_for(services.stripe, tenant)
    products = await by_product(client, content.offers)
    form = parameters(content.settings, products, new=known is None)
    ours = {"colonnade_tenant": tenant.public_id, "colonnade_configuration": name, "colonnade_version": str(version)}
    path = _PATH if known is None else f"{_PATH}/{known}"
    former = {} if known is None else (await client.get(path))["metadata"]
    form["metadata"] = dict.fromkeys(former, "") | content.settings.metadata | ours
    form["name"] = name
    form["expand"] = ["features.subscription_update.products"]
    try:
        reply = await client.post(path, form, idempotency_key=key)
    except (StripeRefused, Conflict):
        # It may be the stored answer to an earlier try, whose cause was mended since: ask once under a fresh key.
        reply = await client.post(path, form, idempotency_key=f"{key}:{new_id('try')}")
    found = reply["features"]["subscription_update"].get("products") or []
    if content.settings.features.subscription_update.enabled and _prices(found) != _prices(products):
        log.warning("portal products differ", tenant=tenant.public_id, configuration=name, version=version)
    stripe_configuration: str = reply["id"]
    return stripe_configuration


def _prices(products: list[dict[str, Any]]) -> dict[str, set[str]]:
    return {product["product"]: {*product["prices"]} for product in products}


async def _is_default(session: TenantSession, former: store.Row | None, wanted: bool | None) -> bool:
    current = await store.default(session)
    if wanted is False and (current is None or (former is not None and current.name == former.name)):
        raise Conflict("A tenant has one default: make another configuration the default instead.", "default")
    if wanted is None:
        return former.is_default if former else current is None
    return wanted


async def refresh(services: Services, tenant: Tenant) -> None:
    """Push anew whatever refers to a legal link that changed since."""
    async with services.database.tenant(tenant.id) as session:
        rows = await store.page(session, None, 100)
    for row in rows:
        wanted = PutConfiguration(**msgspec.structs.asdict(row.settings))
        try:
            await put(services, tenant, row.name, wanted)
        except DomainError as error:
            log.warning("portal configuration stays", configuration=row.name, reason=error.message)

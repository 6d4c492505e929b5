"""Whether customers see what the tenant asked for: here, on Stripe's account, and in each portal, field by field."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.errors import NotFound
from colonnade.portals import store as portals
from colonnade.portals.branding import service, store
from colonnade.portals.branding.images import KINDS
from colonnade.portals.branding.settings import COLOURS, LINKS, PROFILE, State
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of, client_for
from colonnade.stripe_api.client import StripeClient
from colonnade_tenants.partition import TenantSession

Verdict = Literal["same", "differs", "missing_at_stripe", "only_at_stripe", "not_set"]

# Source: Stripe's "Branding your Stripe account", the table of what is shown where.
_SHOWN: Mapping[str, tuple[str, ...]] = {
    "icon": ("emails", "checkout", "portal", "invoices"),
    "logo": ("checkout", "invoices"),
    "primary_color": ("emails", "portal", "invoices"),
    "secondary_color": ("emails", "checkout", "portal", "invoices"),
    "name": ("emails", "checkout", "portal", "invoices"),
    "support_email": ("emails", "checkout", "portal", "invoices"),
    "support_phone": ("emails", "checkout", "portal", "invoices"),
    "support_url": ("emails", "checkout", "portal", "invoices"),
}
_PORTAL = ("headline", *LINKS)


class Compared(Struct, frozen=True, kw_only=True):
    """One field. `only_at_stripe`: nothing is asked for here, so that the account keeps its own."""

    field: str
    ours: str | None
    stripe: str | None
    verdict: Verdict
    shown_in: tuple[str, ...]


class PortalCompared(Struct, frozen=True, kw_only=True):
    """A portal configuration's headline and links; *stripe_configuration* is null until Stripe has it."""

    configuration: str
    stripe_configuration: str | None
    fields: list[Compared]


class Consistency(Struct, frozen=True, kw_only=True):
    """*consistent*: every field that is asked for here is so at Stripe. *state*, *steps*: as the branding has them."""

    consistent: bool
    account: str
    state: State | None
    steps: list[str]
    fields: list[Compared]
    portals: list[PortalCompared]
    read_at: datetime


async def report(services: Services, tenant: Tenant) -> Consistency:
    """What Stripe has at this moment, beside ours. Raises `Conflict`, Stripe's errors."""
    account = account_of(tenant)
    async with services.database.tenant(tenant.id) as session:
        branding = await service.get(session, tenant)
        ours = await _ours(session)
        links = await service.legal_links(session)
        rows = await portals.page(session, None, 100)
    client = client_for(services.stripe, tenant)
    found, *profiles = await asyncio.gather(
        services.stripe.platform.bound(tenant=tenant.id).get(f"/v1/accounts/{account}"),
        *(_profile(client, row.stripe_configuration) for row in rows),
    )
    fields = _fields(ours, _theirs(found), _SHOWN)
    compared = [_portal(row, links, profile) for row, profile in zip(rows, profiles, strict=True)]
    every = [*fields, *(field for portal in compared for field in portal.fields)]
    return Consistency(
        consistent=not any(field.verdict in ("differs", "missing_at_stripe") for field in every),
        account=account,
        state=branding.state,
        steps=branding.steps,
        fields=fields,
        portals=compared,
        read_at=datetime.now(UTC),
    )


async def _ours(session: TenantSession) -> dict[str, str | None]:
    """What is asked for; a picture is known by its file, or by what was made here while Stripe has none."""
    row, images = await store.find(session), await store.found_images(session)
    ours: dict[str, str | None] = {kind: image.stripe_file or "not uploaded" for kind, image in images.items()}
    return ours | (row.settings if row else {})


def _theirs(account: dict[str, Any]) -> dict[str, str | None]:
    profile = account.get("business_profile") or {}
    look = (account.get("settings") or {}).get("branding") or {}
    found = {name: profile.get(name) for name in PROFILE} | {name: look.get(name) for name in (*COLOURS, *KINDS)}
    # Stripe keeps a colour as it was given, in either case.
    return found | {name: found[name] and str(found[name]).lower() for name in COLOURS}


async def _profile(client: StripeClient, configuration: str | None) -> dict[str, Any]:
    if configuration is None:
        return {}
    try:
        found = await client.get(f"/v1/billing_portal/configurations/{configuration}")
    except NotFound:
        return {}
    return dict(found["business_profile"])


def _portal(row: portals.Row, links: dict[str, str], profile: dict[str, Any]) -> PortalCompared:
    wanted = row.settings.business_profile
    ours = {name: getattr(wanted, name) or links.get(name) for name in _PORTAL}
    fields = _fields(ours, profile, dict.fromkeys(_PORTAL, ("portal",)))
    return PortalCompared(configuration=row.name, stripe_configuration=row.stripe_configuration, fields=fields)


def _fields(
    ours: Mapping[str, str | None], theirs: Mapping[str, str | None], shown: Mapping[str, tuple[str, ...]]
) -> list[Compared]:
    rows = ((name, ours.get(name), theirs.get(name) or None, places) for name, places in shown.items())
    return [
        Compared(field=name, ours=our, stripe=their, verdict=_verdict(our, their), shown_in=places)
        for name, our, their, places in rows
    ]


def _verdict(ours: str | None, theirs: str | None) -> Verdict:
    if ours == theirs:
        return "same" if ours is not None else "not_set"
    if ours is None:
        return "only_at_stripe"
    return "differs" if theirs is not None else "missing_at_stripe"

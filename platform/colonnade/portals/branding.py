"""A tenant's branding: kept here, pushed to its connected account, from where Stripe's pages take it.

Legal links have no place on the account; they go into the tenant's portal configurations. Source: Stripe's "Configure
the customer portal"; API reference, "Update an account".
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from colonnade.access.guard import Tenant
from colonnade.database.tables import branding as table
from colonnade.errors import NotFound, StripeRefused, StripeUnavailable
from colonnade.etags import require_match
from colonnade.portals import store
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of
from colonnade.stripe_api.client import StripeClient
from colonnade.web import origin
from colonnade_tenants import values
from colonnade_tenants.partition import TENANT, TenantSession

Colour = Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$")]
File = Annotated[str, Meta(pattern="^file_[A-Za-z0-9_]{1,200}$")]
Url = Annotated[str, Meta(max_length=2000)]
State = Literal["pending", "applied", "refused"]


class Branding(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The desired state. Of what is left out the account keeps its own; a *support_url* set here before is cleared.

    *icon* and *logo* are files at Stripe (`file_…`).
    """

    name: str | None = None
    primary_color: Colour | None = None
    secondary_color: Colour | None = None
    icon: File | None = None
    logo: File | None = None
    support_email: str | None = None
    support_phone: str | None = None
    support_url: Url | None = None
    privacy_policy_url: Url | None = None
    terms_of_service_url: Url | None = None


class BrandingView(Branding, frozen=True, kw_only=True, omit_defaults=False):
    """The branding, as the API shows it.

    *state*: `applied` once the account has it, `pending` while Stripe cannot be asked, `refused` with Stripe's reason
    in *problem*, where the account's owner has to set it in their own dashboard.
    """

    state: State | None = None
    problem: str | None = None
    updated_at: datetime | None = None


_PROFILE = ("name", "support_email", "support_phone", "support_url")
_COLOURS = ("primary_color", "secondary_color")
_FILES = ("icon", "logo")
# Of the others Stripe's types say that they cannot be unset; one that is would have all refused.
_CLEARABLE = ("support_url",)
_LINKS = ("privacy_policy_url", "terms_of_service_url")


async def get(session: TenantSession) -> BrandingView:
    """What the tenant asked for last; all null before that."""
    row = await _find(session)
    return _view(row) if row else BrandingView()


async def legal_links(session: TenantSession) -> dict[str, str]:
    """The links that the tenant's portal configurations have where they name none."""
    branding = await get(session)
    return {name: url for name in _LINKS if (url := getattr(branding, name))}


async def put(services: Services, tenant: Tenant, wanted: Branding, if_match: str | None) -> BrandingView:
    """Keep *wanted* and push it to the account. Raises `Conflict`, `Invalid`, `PreconditionFailed`."""
    account, settings = account_of(tenant), msgspec.to_builtins(checked(wanted))
    async with services.database.tenant(tenant.id) as session:
        # Held while Stripe is asked: of two writers the later one wins at Stripe and here alike.
        await store.lock(session, "branding")
        former = await _find(session)
        require_match(if_match, former and _view(former))
        if former and former["state"] == "applied" and former["settings"] == settings:
            return _view(former)
        # A null is kept until Stripe has cleared that field.
        settings = {name: None for name in _CLEARABLE if former and name in former["settings"]} | settings
        state, problem = await _push(services.stripe.platform.bound(tenant=tenant.id), account, settings)
        kept = _given(settings) if state == "applied" else settings
        return _view(await _save(session, settings=kept, state=state, problem=problem))


async def _find(session: TenantSession) -> Any:
    found = await session.execute(select(table).where(table.c.tenant_id == TENANT))
    return found.mappings().one_or_none()


async def _save(session: TenantSession, **fields: Any) -> Any:
    fields["updated_at"] = func.now()
    row = insert(table).values(tenant_id=TENANT, **fields)
    saved = row.on_conflict_do_update(index_elements=["tenant_id"], set_=fields)
    return (await session.execute(saved.returning(table))).mappings().one()


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _view(row: Any) -> BrandingView:
    return BrandingView(**row["settings"], state=row["state"], problem=row["problem"], updated_at=row["updated_at"])


def checked(wanted: Branding) -> Branding:
    """*wanted* in canonical form. Raises `Invalid`."""
    values.text(wanted.name, "name", 100)
    values.email(wanted.support_email, "support_email")
    values.text(wanted.support_phone, "support_phone", 40)
    for name in ("support_url", *_LINKS):
        if (url := getattr(wanted, name)) is not None:
            origin(url, name)
    colours = {name: colour.lower() for name in _COLOURS if (colour := getattr(wanted, name))}
    return msgspec.structs.replace(wanted, **colours)


async def _push(client: StripeClient, account: str, settings: dict[str, Any]) -> tuple[State, str | None]:
    """The state that asking Stripe leads to, and why Stripe refused. A null clears."""
    form = {name: "" if value is None else value for name, value in settings.items()}
    look = {name: form[name] for name in (*_COLOURS, *_FILES) if name in form}
    profile = {name: form[name] for name in _PROFILE if name in form}
    refused = []
    # Two calls: an account that was onboarded may take the look and refuse the contact.
    parts: dict[str, dict[str, Any]] = {
        "Look": {"settings": {"branding": look}} if look else {},
        "Contact": {"business_profile": profile} if profile else {},
    }
    for part, params in parts.items():
        if not params:
            continue
        try:
            await client.post(f"/v1/accounts/{account}", params)
        except StripeUnavailable:
            return "pending", "Stripe cannot be asked right now; repeat the request."
        except (StripeRefused, NotFound) as error:
            refused.append(f"{part}: {error.message}")
    return ("refused", " ".join(refused)) if refused else ("applied", None)

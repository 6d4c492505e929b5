"""Routes of tenants, their onboarding and their readiness."""

from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Request, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import Redirect
from msgspec import Meta, Struct

from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import Role, Scope, allow
from colonnade.accounts import onboarding, service
from colonnade.accounts.readiness import Readiness, readiness
from colonnade.services import Services
from colonnade.web import After, IdempotencyKey, Limit, Page, from_cursor, page_of


class TenantView(Struct):
    """A tenant, as the API shows it. *event_weight*: how many of its events are handled for one of another tenant."""

    id: str
    name: str
    charge_type: str
    account: str | None
    application_fee_percent: float | None
    return_origins: list[str]
    event_weight: int
    created_at: datetime


class CreatedTenant(TenantView):
    """A tenant just created, and its first API key, which is shown this once."""

    key: str


class OnboardingRequest(Struct, forbid_unknown_fields=True):
    """Where the business returns to after Stripe's onboarding."""

    return_url: Annotated[str, Meta(max_length=2000)]


class OnboardingLink(Struct):
    """A link of ours that opens Stripe's onboarding; it may be e-mailed."""

    url: str
    expires_at: datetime


def _fields(tenant: Tenant) -> dict[str, object]:
    return {
        "id": tenant.public_id,
        "name": tenant.name,
        "charge_type": tenant.charge_type,
        "account": tenant.stripe_account,
        "application_fee_percent": tenant.application_fee_percent,
        "return_origins": tenant.return_origins,
        "event_weight": tenant.event_weight,
        "created_at": tenant.created_at,
    }


def _view(tenant: Tenant) -> TenantView:
    return TenantView(**_fields(tenant))  # type: ignore[arg-type]


@post("/tenants", summary="Create a tenant, making or adopting its connected account", tags=["Tenants"])
async def create_tenant(
    data: JSONBody[service.NewTenant],
    services: NamedDependency[Services],
    idempotency_key: IdempotencyKey = None,
) -> CreatedTenant:
    tenant, key = await service.create(services, data, idempotency_key)
    return CreatedTenant(**_fields(tenant), key=key)  # type: ignore[arg-type]


@get("/tenants", summary="List tenants, newest first", tags=["Tenants"], opt=allow(Scope.READ))
async def list_tenants(services: NamedDependency[Services], limit: Limit = 20, after: After = None) -> Page[TenantView]:
    tenants = await service.page(services, from_cursor(after), limit)
    return page_of(tenants, limit, lambda each: each.public_id, _view)


@get("/tenants/{tenant:str}", summary="A tenant", tags=["Tenants"], opt=allow(Scope.READ))
async def get_tenant(current: NamedDependency[Tenant]) -> TenantView:
    return _view(current)


@patch("/tenants/{tenant:str}", summary="Change a tenant", tags=["Tenants"])
async def change_tenant(
    data: JSONBody[service.TenantChange],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
    request: Request[Any, Any, Any],
) -> TenantView:
    changed = await service.change(services, current, data, principal)
    request.app.state.gate.known.forget()  # other processes hear of it
    return _view(changed)


@post(
    "/tenants/{tenant:str}/onboarding-links",
    summary="A link to Stripe's onboarding",
    tags=["Tenants"],
    opt=allow(Role.SUPPORT),
)
async def create_onboarding_link(
    data: JSONBody[OnboardingRequest],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> OnboardingLink:
    url, expires = onboarding.link(services, current, data.return_url)
    return OnboardingLink(url, datetime.fromtimestamp(expires, UTC))


@get(
    "/tenants/{tenant:str}/readiness",
    summary="What the account may do, and what is still due",
    tags=["Tenants"],
    opt=allow(Scope.READ),
)
async def get_readiness(services: NamedDependency[Services], current: NamedDependency[Tenant]) -> Readiness:
    return await readiness(services, current)


@get("/onboarding/{token:str}", summary="Go to Stripe's onboarding", tags=["Tenants"], security=[{}], status_code=303)
async def follow_onboarding_link(token: FromPath[str], services: NamedDependency[Services]) -> Redirect:
    return Redirect(await onboarding.follow(services, token), status_code=303)


ROUTES = (
    create_tenant,
    list_tenants,
    get_tenant,
    change_tenant,
    create_onboarding_link,
    get_readiness,
)
PUBLIC_ROUTES = (follow_onboarding_link,)

"""Routes of tenants."""

from datetime import datetime
from typing import Annotated

from litestar import Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from msgspec import Struct

from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.accounts import service
from colonnade.accounts.new_tenants import NewTenant
from colonnade.accounts.readiness import InBrief, Wanted
from colonnade.accounts.readiness import page as worklist
from colonnade.accounts.states import State
from colonnade.errors import Invalid
from colonnade.etags import IfMatch, require_match, tagged
from colonnade.services import Services
from colonnade.web import After, IdempotencyKey, Limit, Page, from_cursor, page_of
from colonnade_tenants.readiness import ReadinessState


class TenantView(Struct):
    """A tenant, as the API shows it. *event_weight*: how many of its events are handled for one of another tenant.

    *state_reason*: in the platform team's words, where it was theirs. *account_api*: Stripe's, that made the account.
    """

    id: str
    name: str
    charge_type: str
    account: str | None
    account_api: str
    application_fee_percent: float | None
    return_origins: list[str]
    event_weight: int
    state: State
    state_reason: str | None
    created_at: datetime


class ListedTenant(TenantView):
    """With its readiness as it was last heard of; null: it has no account yet."""

    readiness: InBrief | None = None


ByReadiness = Annotated[
    list[ReadinessState] | None,
    QueryParameter(
        description="Only tenants that are so ready, without those put away; may be given several times.",
    ),
]
_STATES = ", ".join(state for state in State if state is not State.DELETED)
# Checked by hand: Litestar keeps the name `state` for its own, and would name the field by the handler's argument.
ByState = Annotated[
    list[str] | None,
    QueryParameter(name="state", description=f"Only tenants in this state ({_STATES}); may be given several times."),
]


class CreatedTenant(TenantView):
    """A tenant just created, and its first API key, which is shown this once."""

    key: str


def _fields(tenant: Tenant) -> dict[str, object]:
    return {
        "id": tenant.public_id,
        "name": tenant.name,
        "charge_type": tenant.charge_type,
        "account": tenant.stripe_account,
        "account_api": tenant.account_api,
        "application_fee_percent": tenant.application_fee_percent,
        "return_origins": tenant.return_origins,
        "event_weight": tenant.event_weight,
        "state": tenant.state,
        "state_reason": tenant.state_reason,
        "created_at": tenant.created_at,
    }


def view(tenant: Tenant) -> TenantView:
    """The tenant, as the API shows it."""
    return TenantView(**_fields(tenant))  # type: ignore[arg-type]


def listed(tenant: Tenant, found: InBrief | None) -> ListedTenant:
    """The tenant, as lists show it."""
    return ListedTenant(**_fields(tenant), readiness=found)  # type: ignore[arg-type]


@post("/tenants", summary="Create a tenant, making or adopting its connected account", tags=["Tenants"])
async def create_tenant(
    data: JSONBody[NewTenant],
    services: NamedDependency[Services],
    idempotency_key: IdempotencyKey = None,
) -> CreatedTenant:
    tenant, key = await service.create(services, data, idempotency_key)
    return CreatedTenant(**_fields(tenant), key=key)  # type: ignore[arg-type]


@get(
    "/tenants",
    summary="List tenants, newest first; those in trouble as a worklist",
    tags=["Tenants"],
    opt=allow(Scope.READ),
)
async def list_tenants(
    services: NamedDependency[Services],
    limit: Limit = 20,
    after: After = None,
    readiness: ByReadiness = None,
    tenant_state: ByState = None,
) -> Page[ListedTenant]:
    try:
        states = None if tenant_state is None else [State(each) for each in tenant_state]
    except ValueError as error:
        raise Invalid(f"The states are {_STATES}.", "state") from error
    found = await worklist(services, Wanted(readiness, states), from_cursor(after), limit)
    return page_of(found, limit, lambda each: each[0].public_id, lambda each: listed(*each))


@get("/tenants/{tenant:str}", summary="A tenant", tags=["Tenants"], opt=allow(Scope.READ))
async def get_tenant(current: NamedDependency[Tenant]) -> Response[TenantView]:
    return tagged(view(current))


@patch("/tenants/{tenant:str}", summary="Change a tenant", tags=["Tenants"])
async def change_tenant(
    data: JSONBody[service.TenantChange],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
    if_match: IfMatch = None,
) -> Response[TenantView]:
    def check(tenant: Tenant) -> None:
        require_match(if_match, view(tenant))

    return tagged(view(await service.change(services, current, data, principal, check)))


ROUTES = (create_tenant, list_tenants, get_tenant, change_tenant)

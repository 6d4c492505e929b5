"""Routes of received events: the platform team sees all, a tenant its own."""

from typing import Annotated, cast, get_args

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from colonnade.access.guard import Tenant
from colonnade.errors import Invalid
from colonnade.services import Services
from colonnade.web import After, Limit, Page
from colonnade.webhooks import events, failures
from colonnade.webhooks.events import EventView, Filter
from colonnade.webhooks.failures import FailureView
from colonnade.webhooks.inbox import State

# Litestar keeps the name `state` to itself, and would name a wrong value by the argument instead: so it is read here.
_STATES = get_args(State)
StateFilter = Annotated[
    str | None,
    QueryParameter(name="state", enum=_STATES, description="Only events in this state."),
]
TypeFilter = Annotated[str | None, QueryParameter(name="type", description="Only events of this type.")]
TenantFilter = Annotated[str | None, QueryParameter(description="Only events of this tenant (`ten_…`).")]


def _state(text: str | None) -> State | None:
    if text is not None and text not in _STATES:
        raise Invalid(f"One of {', '.join(_STATES)}.", "state")
    return cast("State | None", text)


@get("/events", summary="List received events of all tenants, newest first")
async def list_events(
    services: NamedDependency[Services],
    limit: Limit = 20,
    after: After = None,
    event_state: StateFilter = None,
    event_type: TypeFilter = None,
    tenant: TenantFilter = None,
) -> Page[EventView]:
    return await events.page(services, Filter(_state(event_state), event_type, tenant), after, limit)


@get("/tenants/{tenant:str}/events", summary="List the tenant's events, newest first")
async def list_tenant_events(
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    limit: Limit = 20,
    after: After = None,
    event_state: StateFilter = None,
    event_type: TypeFilter = None,
) -> Page[EventView]:
    return await events.tenant_page(services, current.id, Filter(_state(event_state), event_type), after, limit)


@post("/events/{event:str}/replay", summary="Attribute and handle an event anew", status_code=202)
async def replay_event(event: FromPath[str], services: NamedDependency[Services]) -> EventView:
    return await events.replay(services, event)


@get("/webhooks/failures", summary="Why deliveries were refused for their signature, the latest cause first")
async def list_failures(services: NamedDependency[Services]) -> Page[FailureView]:
    return Page(await failures.recent(services.database))


ROUTES = (list_failures, list_events, list_tenant_events, replay_event)

"""Routes of received events: the platform team sees all and acts on them, a tenant sees its own."""

from typing import Annotated, cast, get_args

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import Role, Scope, allow
from colonnade.errors import Invalid
from colonnade.services import Services
from colonnade.web import TIME, After, Limit, Page, parse_time
from colonnade.webhooks import actions, call_routes, events, journey, refusals, sweep_routes
from colonnade.webhooks.actions import Replayed
from colonnade.webhooks.events import EventView, Filter
from colonnade.webhooks.journey import EventDetail
from colonnade.webhooks.refusals import FailureView
from colonnade.webhooks.states import State
from colonnade_tenants.times import Moment

# Litestar keeps the name `state` to itself, and would name a wrong value by the argument instead: so it is read here.
_STATES = get_args(State)
StateFilter = Annotated[
    str | None,
    QueryParameter(name="state", enum=_STATES, description="Only events in this state."),
]
TypeFilter = Annotated[str | None, QueryParameter(name="type", description="Only events of this type.")]
TenantFilter = Annotated[str | None, QueryParameter(description="Only events of this tenant (`ten_…`).")]
FromFilter = Annotated[
    str | None,
    QueryParameter(name="from", description="Only events that Stripe made then or later.", schema_extra=TIME),
]
ToFilter = Annotated[
    str | None, QueryParameter(name="to", description="Only events that Stripe made before then.", schema_extra=TIME)
]


class ReplayRequest(msgspec.Struct, rename={"created_from": "from", "created_to": "to"}, forbid_unknown_fields=True):
    """Which events; at least one field. With *dry_run* they are only counted."""

    type: str | None = None
    tenant: str | None = None
    state: State | None = None
    created_from: Moment | None = None
    created_to: Moment | None = None
    dry_run: bool = False


def parse_state(text: str | None) -> State | None:
    """A state of events. Raises `Invalid`."""
    if text is not None and text not in _STATES:
        raise Invalid(f"One of {', '.join(_STATES)}.", "state")
    return cast("State | None", text)


def _filter(
    state: str | None,
    event_type: str | None,
    created_from: str | None,
    created_to: str | None,
    tenant: str | None = None,
) -> Filter:
    return Filter(
        state=parse_state(state),
        type=event_type,
        tenant=tenant,
        created_from=parse_time(created_from, "from"),
        created_to=parse_time(created_to, "to"),
    )


@get("/events", summary="List received events of all tenants, newest first", tags=["Events"], opt=allow(Scope.READ))
async def list_events(
    services: NamedDependency[Services],
    limit: Limit = 20,
    after: After = None,
    event_state: StateFilter = None,
    event_type: TypeFilter = None,
    tenant: TenantFilter = None,
    created_from: FromFilter = None,
    created_to: ToFilter = None,
) -> Page[EventView]:
    wanted = _filter(event_state, event_type, created_from, created_to, tenant)
    return await events.page(services.database, wanted, after, limit)


@get(
    "/tenants/{tenant:str}/events",
    summary="List the tenant's events, newest first",
    tags=["Events"],
    opt=allow(Scope.READ),
)
async def list_tenant_events(
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    limit: Limit = 20,
    after: After = None,
    event_state: StateFilter = None,
    event_type: TypeFilter = None,
    created_from: FromFilter = None,
    created_to: ToFilter = None,
) -> Page[EventView]:
    wanted = _filter(event_state, event_type, created_from, created_to)
    return await events.tenant_page(services.database, current.id, wanted, after, limit)


@get(
    "/events/{event:str}", summary="Show an event with its payload and journey", tags=["Events"], opt=allow(Scope.READ)
)
async def show_event(event: FromPath[str], services: NamedDependency[Services]) -> EventDetail:
    return await journey.show(services.database, event)


@get(
    "/tenants/{tenant:str}/events/{event:str}",
    summary="Show one of the tenant's events with its payload and journey",
    tags=["Events"],
    opt=allow(Scope.READ),
)
async def show_tenant_event(
    event: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> EventDetail:
    return await journey.show_to_tenant(services.database, current.id, event)


@post(
    "/events/{event:str}/replay",
    summary="Attribute and handle an event anew",
    tags=["Events"],
    status_code=202,
    opt=allow(Role.SUPPORT),
)
async def replay_event(
    event: FromPath[str], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> EventView:
    return await actions.replay(services.database, event, principal.id)


@post(
    "/events/{event:str}/release",
    summary="Attribute a quarantined event anew",
    tags=["Events"],
    status_code=202,
    opt=allow(Role.SUPPORT),
)
async def release_event(
    event: FromPath[str], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> EventView:
    return await actions.release(services.database, event, principal.id)


@post(
    "/events/{event:str}/ignore",
    summary="Take an event out for good",
    tags=["Events"],
    status_code=200,
    opt=allow(Role.SUPPORT),
)
async def ignore_event(
    event: FromPath[str], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> EventView:
    return await actions.ignore(services.database, event, principal.id)


@post(
    "/events/replay",
    summary="Attribute and handle many events anew, or count them",
    tags=["Events"],
    status_code=202,
    opt=allow(Role.SUPPORT),
)
async def replay_events(
    data: JSONBody[ReplayRequest], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> Replayed:
    wanted = Filter(
        state=data.state,
        type=data.type,
        tenant=data.tenant,
        created_from=data.created_from,
        created_to=data.created_to,
    )
    return await actions.replay_many(services.database, wanted, principal.id, dry_run=data.dry_run)


@get(
    "/webhooks/failures",
    summary="Why deliveries were refused for their signature, the latest cause first",
    tags=["Events"],
    opt=allow(Scope.READ),
)
async def list_failures(services: NamedDependency[Services]) -> Page[FailureView]:
    return Page(await refusals.recent(services.database))


ROUTES = (
    list_failures,
    list_events,
    list_tenant_events,
    show_event,
    show_tenant_event,
    replay_events,
    replay_event,
    release_event,
    ignore_event,
    *call_routes.ROUTES,
    *sweep_routes.ROUTES,
)

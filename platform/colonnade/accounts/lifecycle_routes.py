"""Routes of tenants' states. The tenant may read its own; only the platform team changes them."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody

from colonnade.access.guard import WHILE_FROZEN, Principal, Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.accounts import lifecycle, reconnecting
from colonnade.accounts.lifecycle import ClosedChecks, Lifecycle, Passage, Reason
from colonnade.accounts.reconnecting import Reconnection
from colonnade.services import Services
from colonnade.web import After, Limit, Page, as_it_is, number_from_cursor, page_of

_TENANT = "/tenants/{tenant:str}"
_TAGS = ["Tenants"]
_ALWAYS: dict[str, Any] = {WHILE_FROZEN: True}
_READ = allow(Scope.READ)

_SUMMARIES = {
    "suspend": "Close a tenant's portals; its events are still applied",
    "resume": "Open a suspended tenant again",
    "archive": "Put a tenant away: nothing is asked of Stripe, and its events are held",
    "restore": "Bring an archived tenant back, and apply what was held",
}


def _route(step: str) -> HTTPRouteHandler:
    async def handle(
        data: JSONBody[Reason],
        services: NamedDependency[Services],
        current: NamedDependency[Tenant],
        principal: NamedDependency[Principal],
    ) -> Lifecycle:
        return await lifecycle.take(services, current, step, principal, data.reason)

    handle.__name__ = f"{step}_tenant"
    named: Callable[..., Awaitable[Lifecycle]] = handle
    return post(f"{_TENANT}/{step}", summary=_SUMMARIES[step], tags=_TAGS, opt=_ALWAYS, status_code=200)(named)


@post(
    f"{_TENANT}/reconnect",
    summary="Bring a disconnected tenant back, with its account or with another",
    tags=_TAGS,
    opt=_ALWAYS,
    status_code=200,
)
async def reconnect_tenant(
    data: JSONBody[Reconnection],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
) -> Lifecycle:
    return await reconnecting.reconnect(services, current, data, principal)


@put(f"{_TENANT}/closed-checks", summary="What checks say while the tenant is closed", tags=_TAGS, opt=_ALWAYS)
async def put_closed_checks(
    data: JSONBody[ClosedChecks],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
) -> Lifecycle:
    return await lifecycle.set_checks(services, current, data.closed_checks, principal)


@get(f"{_TENANT}/lifecycle", summary="A tenant's state, and what may be done with it", tags=_TAGS, opt=_READ)
async def get_lifecycle(
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
) -> Lifecycle:
    return await lifecycle.read(services, current, principal)


@get(f"{_TENANT}/lifecycle/history", summary="A tenant's changes of state, newest first", tags=_TAGS, opt=_READ)
async def list_states(
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
    limit: Limit = 20,
    after: After = None,
) -> Page[Passage]:
    found = await lifecycle.history(services, current, principal, number_from_cursor(after), limit + 1)
    return page_of(found, limit, lambda each: each.id, as_it_is)


ROUTES = (*map(_route, _SUMMARIES), reconnect_tenant, put_closed_checks, get_lifecycle, list_states)

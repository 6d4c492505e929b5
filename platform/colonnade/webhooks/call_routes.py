"""Routes of failed calls of operators' own handlers, for the platform team."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from colonnade.access.guard import Principal
from colonnade.access.scopes import Role, Scope, allow
from colonnade.errors import Invalid
from colonnade.services import Services
from colonnade.web import After, Limit, Page
from colonnade.webhooks import calls
from colonnade.webhooks.calls import CallFilter, CallsReplayed, CallView
from colonnade.webhooks.states import CALL_STATES

# Litestar keeps the name `state` to itself, and would name a wrong value by the argument instead: so it is read here.
CallStateFilter = Annotated[
    str | None, QueryParameter(name="state", enum=CALL_STATES, description="Only calls in this state.")
]
ExtensionFilter = Annotated[str | None, QueryParameter(description="Only calls of this handler (`package:function`).")]
CallTenantFilter = Annotated[str | None, QueryParameter(description="Only calls for this tenant (`ten_…`).")]


@get(
    "/extension-calls",
    summary="Calls of your own handlers that failed, newest first",
    tags=["Events"],
    opt=allow(Scope.READ),
)
async def list_calls(
    services: NamedDependency[Services],
    limit: Limit = 20,
    after: After = None,
    call_state: CallStateFilter = None,
    extension: ExtensionFilter = None,
    tenant: CallTenantFilter = None,
) -> Page[CallView]:
    if call_state is not None and call_state not in CALL_STATES:
        raise Invalid(f"One of {', '.join(CALL_STATES)}.", "state")
    wanted = CallFilter(state=call_state, extension=extension, tenant=tenant)
    return await calls.page(services.database, wanted, after, limit)


@post(
    "/extension-calls/{call:str}/replay",
    summary="Make a failed call once more",
    tags=["Events"],
    status_code=202,
    opt=allow(Role.SUPPORT),
)
async def replay_call(
    call: FromPath[str], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> CallView:
    return await calls.replay(services.database, call, principal.id)


@post(
    "/extension-calls/replay",
    summary="Make many failed calls once more",
    tags=["Events"],
    status_code=202,
    opt=allow(Role.SUPPORT),
)
async def replay_calls(
    data: JSONBody[CallFilter], services: NamedDependency[Services], principal: NamedDependency[Principal]
) -> CallsReplayed:
    return await calls.replay_many(services.database, data, principal.id)


ROUTES = (list_calls, replay_calls, replay_call)

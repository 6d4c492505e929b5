"""Routes of readiness: what an account may do and waits for, and how that came about."""

from litestar import get
from litestar.di import NamedDependency

from colonnade.access.guard import Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.accounts import readiness
from colonnade.accounts.readiness import Change, Readiness
from colonnade.services import Services
from colonnade.web import After, Limit, Page, as_it_is, from_cursor, page_of
from colonnade_tenants import values

_TAGS = ["Readiness"]
_READINESS = "/tenants/{tenant:str}/readiness"


@get(_READINESS, summary="What the account may do, and what is still due", tags=_TAGS, opt=allow(Scope.READ))
async def get_readiness(services: NamedDependency[Services], current: NamedDependency[Tenant]) -> Readiness:
    return await readiness.readiness(services, current)


async def _page(services: Services, tenant: Tenant | None, limit: int, after: str | None) -> Page[Change]:
    place = from_cursor(after)
    values.text(place, "after", 255)
    found = await readiness.history(services, tenant, place, limit)
    return page_of(found, limit, lambda each: each.id, as_it_is)


@get(
    _READINESS + "/history",
    summary="How the account's readiness changed, newest first",
    tags=_TAGS,
    opt=allow(Scope.READ),
)
async def get_readiness_history(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[Change]:
    return await _page(services, current, limit, after)


@get(
    "/readiness-changes", summary="How all tenants' readiness changed, newest first", tags=_TAGS, opt=allow(Scope.READ)
)
async def list_readiness_changes(
    services: NamedDependency[Services], limit: Limit = 20, after: After = None
) -> Page[Change]:
    return await _page(services, None, limit, after)


ROUTES = (get_readiness, get_readiness_history, list_readiness_changes)

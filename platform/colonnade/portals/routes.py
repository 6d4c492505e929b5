"""Routes of portal configurations."""

from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from colonnade.access.guard import Tenant
from colonnade.etags import IfMatch, tagged
from colonnade.portals import configurations, store
from colonnade.portals.configurations import PortalConfiguration, PutConfiguration
from colonnade.services import Services
from colonnade.web import After, Limit, Page, from_cursor, page_of

_CONFIGURATIONS = "/tenants/{tenant:str}/portal-configurations"


@get(_CONFIGURATIONS, summary="A tenant's portal configurations, by name", tags=["Portals"])
async def list_portal_configurations(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[PortalConfiguration]:
    async with services.database.tenant(current.id) as session:
        rows = await store.page(session, from_cursor(after), limit + 1)
    return page_of(rows, limit, lambda each: each.name, configurations.shown)


@get(_CONFIGURATIONS + "/{name:str}", summary="A portal configuration", tags=["Portals"])
async def get_portal_configuration(
    name: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Response[PortalConfiguration]:
    async with services.database.tenant(current.id) as session:
        return tagged(configurations.shown(await store.get(session, name)))


@put(_CONFIGURATIONS + "/{name:str}", summary="Create or change a portal configuration", tags=["Portals"])
async def put_portal_configuration(
    name: FromPath[str],
    data: JSONBody[PutConfiguration],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[PortalConfiguration]:
    return tagged(await configurations.put(services, current, name, data, if_match))


ROUTES = (
    list_portal_configurations,
    get_portal_configuration,
    put_portal_configuration,
)

"""Routes of branding."""

from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from colonnade.access.guard import Tenant
from colonnade.etags import IfMatch, tagged
from colonnade.portals import branding, configurations
from colonnade.portals.branding import Branding, BrandingView
from colonnade.services import Services


@get("/tenants/{tenant:str}/branding", summary="A tenant's branding", tags=["Portals"])
async def get_branding(services: NamedDependency[Services], current: NamedDependency[Tenant]) -> Response[BrandingView]:
    async with services.database.tenant(current.id) as session:
        return tagged(await branding.get(session))


@put(
    "/tenants/{tenant:str}/branding",
    summary="Set a tenant's branding, here and on its connected account",
    tags=["Portals"],
)
async def put_branding(
    data: JSONBody[Branding],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[BrandingView]:
    shown = await branding.put(services, current, data, if_match)
    await configurations.refresh(services, current)
    return tagged(shown)


ROUTES = (get_branding, put_branding)

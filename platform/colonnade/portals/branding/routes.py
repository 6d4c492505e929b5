"""Routes of a tenant's branding."""

from typing import Any

from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.params import FromPath, JSONBody

from colonnade.access.guard import Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.etags import IfMatch, tagged
from colonnade.portals import configurations
from colonnade.portals.branding import service
from colonnade.portals.branding.consistency import Consistency, report
from colonnade.portals.branding.images import LARGEST_FILE, Kind
from colonnade.portals.branding.settings import Branding, BrandingView
from colonnade.services import Services

_BRANDING = "/tenants/{tenant:str}/branding"
_IMAGE = f"{_BRANDING}/images/{{kind:str}}"
_AS_IMAGE = {
    # It is shown, and never taken for a page of its own, whatever a browser thinks of it.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cache-Control": "private, no-cache",
}


class _TakesPicture(Operation):
    """A body that is a picture, which the handler reads by itself."""

    def __post_init__(self) -> None:
        picture = OpenAPIMediaType(schema=Schema(type=None, content_media_type="application/octet-stream"))
        self.request_body = RequestBody(
            content=dict.fromkeys(("image/png", "image/jpeg", "image/gif"), picture), required=True
        )


@get(_BRANDING, summary="A tenant's branding", tags=["Portals"], opt=allow(Scope.READ, Scope.CATALOGUE))
async def get_branding(services: NamedDependency[Services], current: NamedDependency[Tenant]) -> Response[BrandingView]:
    async with services.database.tenant(current.id) as session:
        return tagged(await service.get(session, current))


@put(
    _BRANDING,
    summary="Set a tenant's branding, here and on its connected account",
    tags=["Portals"],
    opt=allow(Scope.CATALOGUE),
)
async def put_branding(
    data: JSONBody[Branding],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[BrandingView]:
    shown = await service.put(services, current, data, if_match)
    await configurations.refresh(services, current)
    return tagged(shown)


@post(
    f"{_BRANDING}/push",
    summary="Send the branding to the connected account once more",
    tags=["Portals"],
    status_code=200,
    opt=allow(Scope.CATALOGUE),
)
async def push_branding(
    services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Response[BrandingView]:
    return tagged(await service.push_again(services, current))


@put(
    _IMAGE,
    summary="Set the icon or logo: a PNG, JPEG or GIF as the body, of at most 512 KB",
    tags=["Portals"],
    operation_class=_TakesPicture,
    request_max_body_size=LARGEST_FILE,
    opt=allow(Scope.CATALOGUE),
)
async def put_branding_image(
    kind: FromPath[Kind],
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[BrandingView]:
    return tagged(await service.put_image(services, current, kind, await request.body(), if_match))


@get(
    _IMAGE,
    summary="The icon or logo, as the PNG that was made of it",
    tags=["Portals"],
    media_type="image/png",
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def get_branding_image(
    kind: FromPath[Kind], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Response[bytes]:
    async with services.database.tenant(current.id) as session:
        content, digest = await service.image(session, kind)
    named = {"ETag": f'"{digest[:24]}"', "Content-Disposition": f'inline; filename="{kind}.png"'}
    return Response(content, media_type="image/png", headers=_AS_IMAGE | named)


@delete(_IMAGE, summary="Forget the icon or logo here", tags=["Portals"], status_code=200, opt=allow(Scope.CATALOGUE))
async def delete_branding_image(
    kind: FromPath[Kind],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[BrandingView]:
    return tagged(await service.delete_image(services, current, kind, if_match))


@get(
    f"{_BRANDING}/consistency",
    summary="The branding here, on the account and in the portal, field by field",
    tags=["Portals"],
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def get_branding_consistency(
    services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Consistency:
    return await report(services, current)


ROUTES = (
    get_branding,
    put_branding,
    push_branding,
    put_branding_image,
    get_branding_image,
    delete_branding_image,
    get_branding_consistency,
)

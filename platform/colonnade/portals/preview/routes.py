"""Routes of the preview: HTML, for a tenant's backend to show to its own people."""

from typing import Annotated

from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from colonnade.access.guard import Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.portals.preview.page import Device, Page
from colonnade.portals.preview.service import Locale, Look, Unsaved, preview
from colonnade.portals.preview.steps import Step
from colonnade.services import Services

_PATH = "/tenants/{tenant:str}/portal-configurations/{name:str}/preview"
_Device = Annotated[
    Device | None, QueryParameter(description="In a frame of that size; left out: as wide as the window.")
]
_Step = Annotated[Step | None, QueryParameter(description="The feature whose page it is; left out: the home page.")]
_Locale = Annotated[Locale, QueryParameter(description="The language of the portal's own words.")]


@get(
    _PATH,
    summary="What the portal looks like, as saved",
    tags=["Portals"],
    media_type=MediaType.HTML,
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def get_portal_preview(
    name: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    page: _Step = None,
    device: _Device = None,
    locale: _Locale = "en",
) -> Response[str]:
    return _html(await preview(services, current, name, Unsaved(), Look(page, device, locale)))


@post(
    _PATH,
    summary="What the portal would look like; nothing is saved",
    tags=["Portals"],
    media_type=MediaType.HTML,
    status_code=200,
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def post_portal_preview(
    name: FromPath[str],
    data: JSONBody[Unsaved],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    page: _Step = None,
    device: _Device = None,
    locale: _Locale = "en",
) -> Response[str]:
    return _html(await preview(services, current, name, data, Look(page, device, locale)))


def _html(page: Page) -> Response[str]:
    headers = {"Content-Security-Policy": page.policy, "Cache-Control": "no-store"}
    return Response(page.html, media_type=MediaType.HTML, headers=headers)


ROUTES = (get_portal_preview, post_portal_preview)

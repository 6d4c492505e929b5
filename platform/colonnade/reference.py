"""The API reference at `/docs`, served whole from here: it loads nothing from other hosts."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from litestar import Router
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router

from colonnade import __version__
from colonnade.notifications import webhooks
from colonnade.openapi.document import DocumentConfig
from colonnade.openapi.operations import camel

_ASSETS = "/docs-assets"
_PAGE_HEADERS = {
    # The page's own script has the whole document in it, and Swagger UI writes styles as it goes.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
}
_ABOUT = """\
Branded customer portals and entitlements for the tenants of a Stripe Connect platform.

`Authorization: Bearer col_…`: the platform team's key, or one of a tenant, which sees its own tenant alone. Errors are
problem details (RFC 9457) with a stable `type`. Lists come in pages: `limit`, and `after` with the `next` of the page
before. A POST that creates takes an `Idempotency-Key`, an edit the `If-Match` of the `ETag` last read.
"""


def _swagger_files() -> Path:
    """Where the package that carries Swagger UI keeps its files; importing it would start nothing we need."""
    spec = find_spec("swagger_ui")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("swagger-ui-py is not installed")
    return Path(spec.origin).parent / "static"


def assets() -> Router:
    """The scripts and styles of the reference's page."""
    return create_static_files_router(_ASSETS, [_swagger_files()], include_in_schema=False)


def config(routes: tuple[Any, ...]) -> DocumentConfig:
    """The OpenAPI document of *routes* and its page."""
    page = SwaggerRenderPlugin(
        js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        css_url=f"{_ASSETS}/swagger-ui.css",
        standalone_preset_js_url=f"{_ASSETS}/swagger-ui-standalone-preset.js",
        favicon="<link rel='icon' href='data:,'>",
    )
    return DocumentConfig(
        title="Colonnade",
        version=__version__,
        path="/docs",
        render_plugins=[page],
        description=_ABOUT,
        operation_id_creator=lambda handler, _method, _path: camel(handler.handler_name),
        openapi_router=Router("/docs", route_handlers=[], include_in_schema=False, response_headers=_PAGE_HEADERS),
        routes=routes,
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"key": []}],
        webhooks=webhooks.documented(),
    )

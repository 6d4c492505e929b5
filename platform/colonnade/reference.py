"""The API reference at `/docs`, served whole from here: it loads nothing from other hosts."""

from importlib.util import find_spec
from pathlib import Path

from litestar import Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router

from colonnade import __version__
from colonnade.notifications import webhooks

_ASSETS = "/docs-assets"


def _swagger_files() -> Path:
    """Where the package that carries Swagger UI keeps its files; importing it would start nothing we need."""
    spec = find_spec("swagger_ui")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("swagger-ui-py is not installed")
    return Path(spec.origin).parent / "static"


def assets() -> Router:
    """The scripts and styles of the reference's page."""
    return create_static_files_router(_ASSETS, [_swagger_files()], include_in_schema=False)


def config() -> OpenAPIConfig:
    """The OpenAPI document and its page."""
    page = SwaggerRenderPlugin(
        js_url=f"{_ASSETS}/swagger-ui-bundle.js",
        css_url=f"{_ASSETS}/swagger-ui.css",
        standalone_preset_js_url=f"{_ASSETS}/swagger-ui-standalone-preset.js",
        favicon="<link rel='icon' href='data:,'>",
    )
    return OpenAPIConfig(
        title="Colonnade",
        version=__version__,
        path="/docs",
        render_plugins=[page],
        operation_id_creator=lambda handler, _method, _path: handler.handler_name,
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"key": []}],
        webhooks=webhooks.documented(),
    )

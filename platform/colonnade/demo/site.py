"""The demo tenants' own websites: a page for each customer with a "Manage billing" button and what they may use.

It does what a tenant's backend does: it holds the tenant's key, asks Colonnade for a portal token when it shows the
button, and for the customer's entitlements.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import uvicorn
from litestar import Litestar, Request, get
from litestar.contrib.jinja import JinjaTemplateEngine
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Template
from litestar.template.config import TemplateConfig

from colonnade.demo.clients import Api


class Shop(msgspec.Struct, frozen=True):
    """One tenant's site: how it looks, and the key of its backend."""

    slug: str
    id: str
    name: str
    tagline: str
    primary: str
    secondary: str
    key: str
    features: dict[str, str]
    customers: dict[str, str]


class Site(msgspec.Struct, frozen=True):
    """What the site's process reads from its file, at each request: the file comes once the tenants are there."""

    base_url: str
    shops: list[Shop]

    def shop(self, slug: str, reference: str) -> Shop:
        """The shop of that name that knows the customer."""
        for shop in self.shops:
            if shop.slug == slug and reference in shop.customers:
                return shop
        raise NotFoundException("No such page")


def _shown(entitlement: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    value, until = entitlement["value"], entitlement["valid_until"]
    words = "yes" if value is True else "without limit" if value is None else f"{value:,}"
    end = f"until {datetime.fromisoformat(until):%d %B %Y, %H:%M} UTC" if until else ""
    return {"feature": names.get(entitlement["feature"], entitlement["feature"]), "value": words, "until": end}


@get("/", sync_to_thread=False)
def index(request: Request[Any, Any, Any]) -> Template:
    return Template("index.html", context={"shops": _site(request).shops})


@get("/health", sync_to_thread=False)
def health() -> str:
    return "ok"


@get("/{slug:str}/{reference:str}")
async def page(slug: FromPath[str], reference: FromPath[str], request: Request[Any, Any, Any]) -> Template:
    site = _site(request)
    shop = site.shop(slug, reference)
    path = f"/v1/tenants/{shop.id}/customers/{reference}"
    token = await _api(request, shop).call("POST", f"{path}/portal-tokens", {"return_url": str(request.url)})
    context = {
        "shop": shop,
        "customer": shop.customers[reference],
        "action": f"{site.base_url}/portal",
        "token": token["token"],
        "entitlements": await _entitlements(request, shop, reference),
    }
    return Template("page.html", context=context)


@get("/{slug:str}/{reference:str}/entitlements")
async def entitlements(
    slug: FromPath[str], reference: FromPath[str], request: Request[Any, Any, Any]
) -> list[dict[str, Any]]:
    return await _entitlements(request, _site(request).shop(slug, reference), reference)


def _site(request: Request[Any, Any, Any]) -> Site:
    file: Path = request.app.state.file
    return msgspec.json.decode(file.read_bytes(), type=Site)


def _api(request: Request[Any, Any, Any], shop: Shop) -> Api:
    return Api(request.app.state.http, _site(request).base_url, shop.key)


async def _entitlements(request: Request[Any, Any, Any], shop: Shop, reference: str) -> list[dict[str, Any]]:
    path = f"/v1/tenants/{shop.id}/customers/{reference}/entitlements"
    answer = await _api(request, shop).call("GET", path)
    return [_shown(entitlement, shop.features) for entitlement in answer["data"]]


def create_site(file: Path) -> Litestar:
    """The demo tenants' websites as one application, described by *file*."""

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as app.state.http:
            yield

    app = Litestar(
        route_handlers=[health, index, page, entitlements],
        lifespan=[lifespan],
        template_config=TemplateConfig(directory=Path(__file__).parent / "templates", engine=JinjaTemplateEngine),
        openapi_config=None,
    )
    app.state.file = file
    return app


def main() -> None:
    """Serve, on the port that the second argument names, the sites that the first one's file describes."""
    file, port = sys.argv[1:]
    uvicorn.run(create_site(Path(file)), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()

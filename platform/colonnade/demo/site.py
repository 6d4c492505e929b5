"""The demo tenants' own websites: a page for each customer with a "Manage billing" button and what they may use.

It does what a tenant's backend does: it holds the tenant's key, asks Colonnade for a portal token when it shows the
button, and for the customer's entitlements, and follows the tenant's stream to show at once what changes.
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
from litestar.response import ServerSentEvent, ServerSentEventMessage, Template
from litestar.template.config import TemplateConfig

from colonnade.demo import news
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
    until = entitlement["valid_until"]
    end = f"until {datetime.fromisoformat(until):%d %B %Y, %H:%M} UTC" if until else ""
    return {
        "feature": names.get(entitlement["feature"], entitlement["feature"]),
        "value": news.shown(entitlement["value"]),
        "until": end,
    }


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


@get("/{slug:str}/{reference:str}/news")
async def hear(slug: FromPath[str], reference: FromPath[str], request: Request[Any, Any, Any]) -> ServerSentEvent:
    """What happened and happens to the customer; a browser that comes back says where it was."""
    site = _site(request)
    shop = site.shop(slug, reference)
    after = request.headers.get("Last-Event-ID", "0")
    url = f"{site.base_url}/v1/tenants/{shop.id}/stream"
    heard = news.follow(request.app.state.http, url, shop.key, after, reference, shop.features)
    return ServerSentEvent(ServerSentEventMessage(data=each.words, id=each.place) async for each in heard)


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
        route_handlers=[health, index, page, entitlements, hear],
        lifespan=[lifespan],
        template_config=TemplateConfig(directory=Path(__file__).parent / "templates", engine=JinjaTemplateEngine),
        openapi_config=None,
    )
    app.state.file = file
    return app


def main() -> None:
    """Serve, on the port that the second argument names, the sites that the first one's file describes."""
    file, port = sys.argv[1:]
    site = create_site(Path(file))
    # Pages that are open hear the news for as long as they like; stopping does not wait for them.
    uvicorn.run(site, host="127.0.0.1", port=int(port), log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()

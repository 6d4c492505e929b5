"""The demo's HTTP clients: Colonnade's API as a tenant's backend calls it, and Stripe as a shopkeeper does."""

from html.parser import HTMLParser
from typing import Any, Self

import aiohttp
import msgspec
from yarl import URL

from colonnade.demo import story
from colonnade.demo.errors import CallFailed
from colonnade.errors import NotFound
from colonnade.stripe_api.client import StripeClient


class Api:
    """JSON calls to Colonnade with one key."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, key: str) -> None:
        self._http, self._base_url, self._key = http, base_url, key

    def with_key(self, key: str) -> Self:
        """The same API with another key."""
        return type(self)(self._http, self._base_url, key)

    async def call(self, method: str, path: str, body: Any = None, idempotency_key: str | None = None) -> Any:
        """The decoded answer. Raises `CallFailed`."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        data = None if body is None else msgspec.json.encode(body)
        async with self._http.request(method, self._base_url + path, data=data, headers=headers) as reply:
            return await _success(reply)

    async def upload(self, path: str, content: bytes, media_type: str) -> None:
        """PUT a file. Raises `CallFailed`."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": media_type}
        async with self._http.put(self._base_url + path, data=content, headers=headers) as reply:
            await _success(reply)


class Shopkeeper:
    """What is done at Stripe itself: the tenants' products and prices, the onboarding form."""

    def __init__(self, http: aiohttp.ClientSession, stripe: StripeClient) -> None:
        self._http, self._stripe = http, stripe

    async def product(self, tale: story.Tenant) -> str:
        """The tenant's one product; its id."""
        wanted = f"prod_demo_{tale.slug}".replace("-", "_")
        try:
            found = await self._stripe.get(f"/v1/products/{wanted}")
        except NotFound:
            found = await self._stripe.post("/v1/products", {"id": wanted, "name": tale.product})
        return str(found["id"])

    async def price(self, tale: story.Tenant, plan: story.Plan, product: str) -> str:
        """The plan's monthly price; its id."""
        lookup_key = f"{tale.slug}-{plan.key}"
        found = await self._stripe.get("/v1/prices", {"lookup_keys": [lookup_key]})
        if found["data"]:
            return str(found["data"][0]["id"])
        wanted = {
            "product": product,
            "currency": "usd",
            "unit_amount": plan.cents,
            "recurring": {"interval": "month"},
            "lookup_key": lookup_key,
            "nickname": plan.name,
        }
        return str((await self._stripe.post("/v1/prices", wanted))["id"])

    async def complete_onboarding(self, url: str) -> None:
        """Fill in Stripe's onboarding page behind *url*, as the business would. Raises `CallFailed`."""
        async with self._http.get(url) as reply:
            page, action = await reply.text(), reply.url
        form = _Form()
        form.feed(page)
        async with self._http.post(
            action.join(URL(form.action)),
            data=form.values,
            headers={"Origin": str(action.origin())},
            allow_redirects=False,
        ) as reply:
            if reply.status != 303:
                raise CallFailed(f"The onboarding page answered {reply.status}")


class _Form(HTMLParser):
    """A page's form: where it goes, and its fields as they stand."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.action = given.get("action") or ""
        elif tag in {"input", "button"} and given.get("name"):
            self.values[str(given["name"])] = given.get("value") or ""


async def _success(reply: aiohttp.ClientResponse) -> Any:
    content = await reply.read()
    if reply.status >= 400:
        raise CallFailed(f"{reply.method} {reply.url.path}: {reply.status} {content.decode(errors='replace')}")
    return msgspec.json.decode(content) if content else None

"""The web application in this process, over a real database and a real sandbox; what tests of its routes share."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import httpx

from colonnade.access.keys import create_platform_key
from colonnade.app import create_app
from colonnade.errors import StripeRefused
from colonnade.settings import Settings
from tests.conftest import ScratchDatabase
from tests.platform.deliveries import lifespan

SECRET_KEY = "only-for-tests-" + "k" * 32
BASE_URL = "http://127.0.0.1:8000"
ORIGIN = "https://shop.example"
RETURN_URL = f"{ORIGIN}/account"
NOWHERE = "http://127.0.0.1:1"
"""An address where nothing listens: Stripe is down."""
PLENTY = 10_000
"""A share of Stripe's limits that the local Stripe, which has none, lets a test use."""


class Sandbox:
    """The local Stripe, as its platform account sees it; *key* belongs to one test, so that tests share nothing."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key = f"sk_test_{secrets.token_hex(12)}"

    def _client(self) -> httpx.AsyncClient:
        # Without `verify` no certificates are read, which takes longer than most tests.
        return httpx.AsyncClient(base_url=self.url, trust_env=False, verify=False)  # noqa: S501

    async def call(
        self, method: str, path: str, form: dict[str, str] | None = None, account: str | None = None
    ) -> dict[str, Any]:
        """One request as the official SDK would make it; its reply, which must not be an error."""
        headers = {"Authorization": f"Bearer {self.key}"} | ({"Stripe-Account": account} if account else {})
        async with self._client() as client:
            # Not `data=`: httpx warns of it where the body is not a form.
            reply = await client.request(method, path, data=form, headers=headers)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    async def price(self, account: str | None = None, product: str | None = None, amount: int = 900) -> dict[str, Any]:
        """A monthly price, of a product of its own if none is named."""
        if product is None:
            product = (await self.call("POST", "/v1/products", {"name": "Plan"}, account))["id"]
        form = {"product": product, "currency": "eur", "unit_amount": str(amount), "recurring[interval]": "month"}
        return await self.call("POST", "/v1/prices", form, account)

    async def fail(self, **fault: Any) -> None:
        """Let the next API calls fail: `next`, `status`, `after`."""
        async with self._client() as client:
            reply = await client.post("/_sandbox/faults", json={"api": fault} if fault else {})
        assert reply.status_code == 200, reply.text

    async def forget_requests(self) -> None:
        """Begin the list of requests anew."""
        async with self._client() as client:
            await client.delete("/_sandbox/requests")

    async def requests(self, method: str = "POST", path: str | None = None) -> list[dict[str, Any]]:
        """This test's API calls so far, oldest first."""
        query = {"method": method} | ({"path": path} if path else {})
        async with self._client() as client:
            rows = (await client.get("/_sandbox/requests", params=query)).json()["data"]
        return list(rows)


class Api:
    """Requests to the application, by default with the platform team's key."""

    def __init__(self, client: httpx.AsyncClient, key: str, sandbox: Sandbox, database: ScratchDatabase) -> None:
        self.client, self.key, self.sandbox, self.database = client, key, sandbox, database

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        """One request; `idempotency_key="a"` is the header `Idempotency-Key: a`. No key is sent for `key=""`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key != "":
            sent["Authorization"] = f"Bearer {key or self.key}"
        if body is None:
            return await self.client.request(method, path, headers=sent)
        return await self.client.request(method, path, json=body, headers=sent)

    async def sql(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """What the database holds, seen by its superuser."""
        connection = await asyncpg.connect(self.database.admin_url)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query, *values)
            return rows
        finally:
            await connection.close()

    async def tenant(self, **fields: Any) -> "TenantApi":
        """A new tenant, and requests with its key."""
        body = {"name": "Fern", "return_origins": [ORIGIN], **fields}
        if "account" not in body:
            body.setdefault("country", "DE")
        reply = await self.call("POST", "/v1/tenants", body)
        assert reply.status_code == 201, reply.text
        return TenantApi(self, reply.json())


class TenantApi:
    """Requests below `/v1/tenants/{tenant}`, with that tenant's key."""

    def __init__(self, api: Api, said: dict[str, Any]) -> None:
        self.api, self.said = api, said
        self.id, self.key, self.account = said["id"], said["key"], said["account"]
        self.holder: str | None = said["account"] if said["charge_type"] == "direct" else None
        """The `Stripe-Account` that the tenant's customers live on; None: the platform's own."""

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        """One request to a path below the tenant's."""
        found = self.key if key is None else key
        return await self.api.call(method, f"/v1/tenants/{self.id}{path}", body, key=found, **headers)

    async def put(self, path: str, body: Any, **headers: str) -> Any:
        """What a successful PUT answers."""
        reply = await self.call("PUT", path, body, **headers)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def get(self, path: str) -> Any:
        """What a successful GET answers."""
        reply = await self.call("GET", path)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def at_stripe(self, kind: str) -> list[dict[str, Any]]:
        """Its objects at Stripe (*kind*: "customers"), where its charge type has them."""
        found = await self.api.sandbox.call("GET", f"/v1/{kind}?limit=100", account=self.holder)
        return [each for each in found["data"] if each["metadata"]["colonnade_tenant"] == self.id]

    async def customer(self, reference: str = "ada") -> dict[str, Any]:
        """A customer with that reference."""
        found: dict[str, Any] = await self.put(f"/customers/{reference}", {"email": f"{reference}@example.com"})
        return found

    async def configuration(self, name: str = "main", **fields: Any) -> dict[str, Any]:
        """A portal configuration in which customers may cancel."""
        body = {"features": {"subscription_cancel": {"enabled": True}}, "default_return_url": RETURN_URL, **fields}
        found: dict[str, Any] = await self.put(f"/portal-configurations/{name}", body)
        return found

    async def subscription(self, reference: str = "ada", **fields: Any) -> dict[str, Any]:
        """A subscription to a new price, paid by a test card."""
        price = (await self.api.sandbox.price(self.holder))["id"]
        body = {"price": price, "payment_method": "pm_card_visa", **fields}
        reply = await self.call("POST", f"/customers/{reference}/subscriptions", body)
        assert reply.status_code == 201, reply.text
        found: dict[str, Any] = reply.json()
        return found


@asynccontextmanager
async def running_api(
    database: ScratchDatabase,
    sandbox: Sandbox,
    stripe: str | None = None,
    secret_key: str = SECRET_KEY,
    **more: Any,
) -> AsyncIterator[Api]:
    """The application, with Stripe at *stripe* instead of the sandbox if that is given, and *more* settings."""
    settings = Settings(
        stripe_api_key=sandbox.key,
        stripe_api_base=stripe or sandbox.url,
        base_url=BASE_URL,
        **{"stripe_budget_percent": PLENTY, "wrong_keys_per_minute": PLENTY, **more},
    )
    app = create_app(settings, database_url=database.service_url, secret_key=secret_key)
    key = await create_platform_key(database.service_url, "tests")
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        api = Api(client, key, sandbox, database)
        before = await api.sql("select account from platform_account")
        if stripe is None:
            # A module's tests may have accounts of their own over its one database: this application has its now.
            with suppress(StripeRefused):  # a restricted key, which may not ask
                await app.state.services.stripe.platform.get("/v1/account")
                await api.sql("delete from platform_account")
                await app.state.services.stripe.platform.get("/v1/prices", {"limit": 1})
        yield api
        if before:
            await api.sql("update platform_account set account = $1", before[0]["account"])


def problem(reply: httpx.Response, status: int, param: str | None = None) -> dict[str, Any]:
    """The problem that *reply* is, which must have this status and name this field."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = reply.json()
    assert found.get("param") == param, found
    assert found["status"] == status
    assert found["request_id"] == reply.headers["request-id"]
    return found

"""What tests of portal configurations share: Stripe's side of one, edits by others, and the worker's looks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from colonnade.database.connections import Database
from colonnade.portals.keeping import keep_due
from colonnade.services import Services
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from tests.platform.api import PLENTY, RETURN_URL, TenantApi

CREATE = "/v1/billing_portal/configurations"
UPDATE = "features.subscription_update"
OPEN = "/portal-configurations/main"


def body(**features: Any) -> dict[str, Any]:
    """A configuration in which customers may cancel."""
    return {"features": {"subscription_cancel": {"enabled": True}} | features, "default_return_url": RETURN_URL}


def offering(*products: dict[str, Any], **update: Any) -> dict[str, Any]:
    """One in which they may switch among *products* too."""
    wanted = {"enabled": True, "default_allowed_updates": ["price"], "products": list(products), **update}
    return body(subscription_update=wanted)


def listed(*prices: dict[str, Any]) -> dict[str, Any]:
    """The prices, of one product, as an entry of the list."""
    return {"product": prices[0]["product"], "prices": [price["id"] for price in prices]}


async def writes(tenant: TenantApi) -> list[str]:
    """The paths of the writes to portal configurations at Stripe."""
    return [row["path"] for row in await tenant.api.sandbox.requests() if row["path"].startswith(CREATE)]


async def at_stripe(tenant: TenantApi, configuration: dict[str, Any]) -> dict[str, Any]:
    """Stripe's object, with its products."""
    path = f"{CREATE}/{configuration['stripe_configuration']}?expand[]=features.subscription_update.products"
    return await tenant.api.sandbox.call("GET", path, account=tenant.holder)


async def edit(tenant: TenantApi, configuration: dict[str, Any], **form: str) -> None:
    """Change the configuration at Stripe, as somebody else would."""
    path = f"{CREATE}/{configuration['stripe_configuration']}"
    fields = {
        name.replace("__", "[", 1).replace("__", "][") + "]" * ("__" in name): text for name, text in form.items()
    }
    await tenant.api.sandbox.call("POST", path, fields, account=tenant.holder)


async def post(tenant: TenantApi, path: str, sent: Any = None, **headers: str) -> Any:
    """What a successful POST answers."""
    reply = await tenant.call("POST", path, {} if sent is None else sent, **headers)
    assert reply.status_code == 200, reply.text
    return reply.json()


@asynccontextmanager
async def services_of(tenant: TenantApi, stripe: str | None = None) -> AsyncIterator[Services]:
    """What the worker has, with Stripe at *stripe* instead of the sandbox if that is given."""
    sandbox = tenant.api.sandbox
    settings = Settings(stripe_api_key=sandbox.key, stripe_api_base=stripe or sandbox.url, stripe_budget_percent=PLENTY)
    gateway = StripeGateway(settings)
    try:
        async with Database(tenant.api.database.service_url) as database:
            yield Services(settings, "", database, gateway)
    finally:
        await gateway.close()


async def worker_looks(tenant: TenantApi) -> None:
    """The worker's next look at all of the tenant's configurations, now."""
    await tenant.api.sql(
        "update portal_work set due_at = now() - interval '1 day' "
        "where tenant_id = (select id from tenants where public_id = $1)",
        tenant.id,
    )
    async with services_of(tenant) as services:
        assert await keep_due(services)

"""A customer with a subscription, and the portal over them."""

from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.sandbox.browser import Browser, Page
from tests.sandbox.conftest import Shop

OFF: dict[str, Any] = {
    "customer_update": {"enabled": False, "allowed_updates": ""},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False},
    "subscription_cancel": {"enabled": False},
    "subscription_update": {"enabled": False, "default_allowed_updates": "", "products": ""},
}


@dataclass
class Portal:
    """One customer of one seller, with a subscription, and the portal over them."""

    sdk: Any
    browser: Browser
    shop: Shop
    subscription: str
    item: str
    configuration: str

    async def configure(self, **features: Any) -> None:
        await self.sdk.billing_portal.configurations.update_async(self.configuration, {"features": features})

    async def session(self, **others: Any) -> str:
        given = {
            "customer": self.shop.customer,
            "configuration": self.configuration,
            "on_behalf_of": self.shop.account,
            "return_url": "https://shop.example/account",
        }
        return str((await self.sdk.billing_portal.sessions.create_async(given | others)).url)

    async def open(self, **others: Any) -> Page:
        return await self.browser.get(await self.session(**others))

    async def token(self, page: Page) -> str:
        """The form token of the page's session, from a page that has a form."""
        base = page.url.partition("/home")[0]
        for each in (page, *[await self.browser.get(f"{base}/{path}") for path in ("customer", "payment-methods/new")]):
            for form in each.forms:
                if "csrf_token" in form.fields:
                    return form.fields["csrf_token"]
        raise AssertionError("no page with a form")

    async def post(self, page: Page, path: str, **fields: str) -> Page:
        """What a forger with a valid form token would send."""
        base = page.url.partition("/home")[0]
        values = {"csrf_token": await self.token(page)} | fields
        return await self.browser.send("POST", f"{base}/{path}", values, follow=False)

    async def current(self) -> Any:
        return await self.sdk.subscriptions.retrieve_async(self.subscription)

    async def events(self, since: int = 0) -> list[Any]:
        """All events of the account after the first `since`, oldest first."""
        page = await self.sdk.events.list_async({"limit": 100})
        return list(reversed(page.data))[since:]


def everything(shop: Shop) -> dict[str, Any]:
    product = {
        "product": shop.product,
        "prices": [shop.monthly, shop.yearly],
        "adjustable_quantity": {"enabled": True, "minimum": 1, "maximum": 5},
    }
    return {
        "customer_update": {"enabled": True, "allowed_updates": ["name", "email", "address", "shipping"]},
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {
            "enabled": True,
            "mode": "at_period_end",
            "cancellation_reason": {"enabled": True, "options": ["too_expensive", "unused"]},
        },
        "subscription_update": {
            "enabled": True,
            "default_allowed_updates": ["price", "quantity"],
            "products": [product],
        },
    }


async def subscribe(sdk: Any, shop: Shop, **others: Any) -> Any:
    given = {
        "customer": shop.customer,
        "items": [{"price": shop.monthly}],
        "on_behalf_of": shop.account,
        "transfer_data": {"destination": shop.account},
    }
    return await sdk.subscriptions.create_async({n: v for n, v in (given | others).items() if v is not None})


@pytest.fixture
async def portal(sdk: Any, http: aiohttp.ClientSession, shop: Shop) -> Portal:
    configuration = await sdk.billing_portal.configurations.create_async({"features": everything(shop)})
    subscription = await subscribe(sdk, shop)
    item = subscription["items"].data[0].id
    return Portal(sdk, Browser(http), shop, subscription.id, item, configuration.id)

"""Filling the demo: everything goes through the public API and Stripe's, so seeding again changes nothing."""

import asyncio
from typing import Any

from msgspec import Struct

from colonnade.demo import story
from colonnade.demo.clients import Api, Shopkeeper
from colonnade.demo.icon import icon


class SeededCustomer(Struct):
    """A customer as `--json` shows it."""

    reference: str
    stripe_customer: str
    subscription: str


class SeededTenant(Struct):
    """A tenant as `--json` shows it; *key* is its API key."""

    id: str
    account: str
    key: str
    customers: list[SeededCustomer]
    configurations: list[dict[str, Any]]
    features: list[str]
    plans: list[dict[str, Any]]


async def seed(api: Api, shopkeeper: Shopkeeper, site_origin: str) -> list[SeededTenant]:
    """Both tenants of the story, with everything they have."""
    return [await _tenant(api, shopkeeper, tenant, site_origin) for tenant in story.TENANTS]


async def _tenant(platform: Api, shopkeeper: Shopkeeper, tale: story.Tenant, site_origin: str) -> SeededTenant:
    new = {"name": tale.name, "charge_type": "destination", "application_fee_percent": 5, "country": "US"}
    tenant = await platform.call("POST", "/v1/tenants", new, f"demo-{tale.slug}")
    path = f"/v1/tenants/{tenant['id']}"
    await platform.call("PATCH", path, {"return_origins": [site_origin]})
    api = platform.with_key(tenant["key"])
    await _onboard(api, shopkeeper, path, site_origin)
    await _brand(api, path, tale)
    plans = await _catalogue(api, shopkeeper, path, tale)
    configurations = await _portals(api, path, tale, plans, site_origin)
    customers = [await _customer(api, path, customer, plans) for customer in tale.customers]
    await _settled(api, path, tale)
    return SeededTenant(
        tenant["id"], tenant["account"], tenant["key"], customers, configurations, list(tale.features), plans
    )


async def _onboard(api: Api, shopkeeper: Shopkeeper, path: str, site_origin: str) -> None:
    readiness = await api.call("GET", f"{path}/readiness")
    if readiness["state"] == "onboarding":
        link = await api.call("POST", f"{path}/onboarding-links", {"return_url": f"{site_origin}/"})
        await shopkeeper.complete_onboarding(link["url"])


async def _brand(api: Api, path: str, tale: story.Tenant) -> None:
    wanted = {
        "name": tale.name,
        "primary_color": tale.primary,
        "secondary_color": tale.secondary,
        "support_email": f"hello@{tale.slug}.example",
    }
    await api.call("PUT", f"{path}/branding", wanted)
    await api.upload(f"{path}/branding/images/icon", icon(tale.primary, tale.secondary), "image/png")


async def _catalogue(api: Api, shopkeeper: Shopkeeper, path: str, tale: story.Tenant) -> list[dict[str, Any]]:
    for key, (kind, name) in tale.features.items():
        await api.call("PUT", f"{path}/features/{key}", {"kind": kind, "name": name})
    product = await shopkeeper.product(tale)
    plans = []
    for plan in tale.plans:
        price = await shopkeeper.price(tale, plan, product)
        grants = [
            {"feature": feature, "value": value, "per_unit": feature in plan.per_unit}
            for feature, value in plan.grants.items()
        ]
        await api.call("PUT", f"{path}/plans/{plan.key}", {"name": plan.name, "price": price, "grants": grants})
        plans.append({"key": plan.key, "price": price, "product": product})
    return plans


async def _portals(
    api: Api, path: str, tale: story.Tenant, plans: list[dict[str, Any]], site_origin: str
) -> list[dict[str, Any]]:
    shared: dict[str, Any] = {
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "customer_update": {"enabled": True, "allowed_updates": ["email", "name", "address"]},
    }
    prices = [plan["price"] for plan in plans]
    product = {"product": plans[0]["product"], "prices": prices}
    if tale.quantity:
        product["adjustable_quantity"] = {"enabled": True, "minimum": 1, "maximum": 20}
    full = {
        **shared,
        "subscription_cancel": {"enabled": True, "mode": tale.cancel_mode},
        "subscription_update": {
            "enabled": True,
            "default_allowed_updates": ["price", "quantity"] if tale.quantity else ["price"],
            "products": [product],
        },
    }
    found = []
    for name, features in (("standard", full), ("billing-only", shared)):
        wanted = {
            "default": name == "standard",
            "features": features,
            "business_profile": {"headline": tale.tagline},
            "default_return_url": f"{site_origin}/",
        }
        answer = await api.call("PUT", f"{path}/portal-configurations/{name}", wanted)
        found.append({"name": name, "stripe_configuration": answer["stripe_configuration"]})
    return found


async def _customer(api: Api, path: str, customer: story.Customer, plans: list[dict[str, Any]]) -> SeededCustomer:
    here = f"{path}/customers/{customer.reference}"
    row = await api.call("PUT", here, {"name": customer.name, "email": customer.email})
    subscriptions = await api.call("GET", f"{here}/subscriptions")
    if subscriptions["data"]:
        subscription = subscriptions["data"][0]["id"]
    else:
        price = next(plan["price"] for plan in plans if plan["key"] == customer.plan)
        wanted = {"price": price, "quantity": customer.quantity, "payment_method": "pm_card_visa"}
        answer = await api.call("POST", f"{here}/subscriptions", wanted, f"demo-{customer.reference}")
        subscription = answer["id"]
    return SeededCustomer(customer.reference, row["stripe_customer"], subscription)


async def _settled(api: Api, path: str, tale: story.Tenant) -> None:
    """Wait until the webhooks of the first subscriptions have become entitlements."""
    for customer in tale.customers:
        here = f"{path}/customers/{customer.reference}"
        async with asyncio.timeout(30):
            while not (await api.call("GET", f"{here}/subscriptions"))["data"]:
                await asyncio.sleep(0.1)

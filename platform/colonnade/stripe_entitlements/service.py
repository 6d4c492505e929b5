"""Reading what a tenant's products have at Stripe, and putting it here."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import select

from colonnade.access import audit
from colonnade.access.guard import Tenant
from colonnade.catalogue import recomputations
from colonnade.catalogue.selling import note_sold
from colonnade.errors import Forbidden, Invalid, NotFound
from colonnade.services import Services
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.charges import client_for, custody
from colonnade.stripe_api.client import StripeClient
from colonnade.stripe_entitlements.taking_over import Changes, Product, Report, changes
from colonnade.webhooks.listing import pages
from colonnade_tenants import catalogue, values
from colonnade_tenants.catalogue import Feature, Plan
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import subscription_items

MOST = 500
"""Products that are read at once, at most."""


class TakeOver(Struct, frozen=True, forbid_unknown_fields=True):
    """*prefix*: what the lookup keys of this tenant begin with; ours leave it out.

    Read are all products of the tenant's own account; on the platform's, those that its customers subscribe to, and
    *products*, which the platform team alone may name.
    """

    dry_run: bool = True
    prefix: str = ""
    products: list[str] = []


async def take_over(
    services: Services, tenant: Tenant, wanted: TakeOver, *, author: str | None, by_tenant: bool
) -> Report:
    """Raises `Invalid`, `Forbidden`, `NotFound`, Stripe's errors."""
    if len(wanted.prefix) > 80:
        raise Invalid("A lookup key has at most 80 characters.", "prefix")
    for place, product in enumerate(wanted.products):
        values.stripe_id(product, f"products[{place}]")
    if wanted.products and by_tenant and custody(tenant) is None:
        raise Forbidden("On the platform's account, the platform team alone names products.", "products")
    if wanted.dry_run:
        audit.nothing_done()
    found = await _read(services, tenant, wanted.products)
    async with services.database.tenant(tenant.id) as session:
        features, plans = await _all_features(session), await _all_plans(session)
        todo = changes(found, features, plans, wanted.prefix, dry_run=wanted.dry_run)
        if not wanted.dry_run:
            await _put(session, tenant, todo, author)
    return todo.report


async def _put(session: TenantSession, tenant: Tenant, todo: Changes, author: str | None) -> None:
    rests = [(await catalogue.put_feature(session, feature, author)).rest for feature in todo.features]
    rests += [(await catalogue.put_plan(session, plan, author=author)).rest for plan in todo.plans]
    await note_sold(session, tenant)
    for rest in rests:
        await recomputations.schedule(session, rest)


async def _read(services: Services, tenant: Tenant, named: Sequence[str]) -> list[Product]:
    client = client_for(services.stripe, tenant, Priority.SWEEP)
    if custody(tenant) is not None:
        found = [row async for page in pages(client, "/v1/products", {"active": True}) for row in page]
    else:
        names = sorted({*named, *await _subscribed(services, tenant)})
        found = [await _product(client, name, named) for name in names[: MOST + 1]]
    if len(found) > MOST:
        raise Invalid(f"At most {MOST} products are read at once.", "products")
    products = [await _with_features(client, row) for row in found]
    return [product for product in products if product.features]


async def _product(client: StripeClient, name: str, named: Sequence[str]) -> dict[str, Any]:
    try:
        return await client.get(f"/v1/products/{name}")
    except NotFound as error:
        if name in named:
            raise Invalid(f"Stripe has no product {name!r}.", f"products[{named.index(name)}]") from error
        return {"id": name, "name": name, "deleted": True}


async def _with_features(client: StripeClient, row: dict[str, Any]) -> Product:
    features: dict[str, str] = {}
    if not row.get("deleted"):
        async for page in pages(client, f"/v1/products/{row['id']}/features", {}):
            features |= {
                each["entitlement_feature"]["lookup_key"]: each["entitlement_feature"]["name"] for each in page
            }
    return Product(row["id"], row["name"], features)


async def _subscribed(services: Services, tenant: Tenant) -> list[str]:
    """The products that the tenant's customers subscribe to, as events told."""
    found = select(subscription_items.c.product).where(subscription_items.c.tenant_id == TENANT).distinct()
    async with services.database.tenant(tenant.id) as session:
        return list(await session.scalars(found.order_by(subscription_items.c.product).limit(MOST + 1)))


async def _all_features(session: TenantSession) -> list[Feature]:
    found: list[Feature] = []
    while page := await catalogue.list_features(session, found[-1].key if found else None, 100):
        found += page
    return found


async def _all_plans(session: TenantSession) -> list[Plan]:
    found: list[Plan] = []
    while page := await catalogue.list_plans(session, found[-1].key if found else None, 100):
        found += page
    return found

"""The products and prices that a portal offers, where a configuration may name plans instead of Stripe's ids."""

from collections.abc import Sequence
from typing import Any

import msgspec

from colonnade.errors import Invalid, NotFound
from colonnade.portals.settings import AdjustableQuantity, PortalProduct
from colonnade.stripe_api.client import StripeClient
from colonnade_tenants.catalogue import get_plan
from colonnade_tenants.partition import TenantSession

PATH = "features.subscription_update.products"


class Offer(msgspec.Struct, frozen=True):
    """*product* is null where only its one price is known here: Stripe knows the product."""

    product: str | None
    prices: Sequence[str]
    adjustable_quantity: AdjustableQuantity | None


async def offers(session: TenantSession, products: Sequence[PortalProduct]) -> list[Offer]:
    """*products* with plans replaced by what they are. Raises `Invalid`."""
    return [await _offer(session, product, f"{PATH}[{index}]") for index, product in enumerate(products)]


async def _offer(session: TenantSession, product: PortalProduct, path: str) -> Offer:
    if product.plan is None:
        return Offer(product.product, product.prices, product.adjustable_quantity)
    try:
        plan = await get_plan(session, product.plan)
    except NotFound as error:
        raise Invalid(error.message, f"{path}.plan") from error
    if plan.price is not None:
        if product.prices:
            raise Invalid("This plan is one price: leave them out.", f"{path}.prices")
        return Offer(None, (plan.price,), product.adjustable_quantity)
    if not product.prices:
        raise Invalid("This plan is a whole product: name its prices.", f"{path}.prices")
    return Offer(plan.product, product.prices, product.adjustable_quantity)


async def by_product(client: StripeClient, offered: Sequence[Offer]) -> list[dict[str, Any]]:
    """What Stripe takes: each product once, with all its prices. Raises `Invalid`, `StripeUnavailable`."""
    products: dict[str, dict[str, Any]] = {}
    for index, offer in enumerate(offered):
        name = offer.product or await _product_of(client, offer.prices[0], f"{PATH}[{index}]")
        product = products.setdefault(name, {"product": name, "prices": []})
        product["prices"] += [price for price in offer.prices if price not in product["prices"]]
        if offer.adjustable_quantity is not None:
            product["adjustable_quantity"] = msgspec.to_builtins(offer.adjustable_quantity)
    return list(products.values())


async def _product_of(client: StripeClient, price: str, path: str) -> str:
    try:
        product: str = (await client.get(f"/v1/prices/{price}"))["product"]
    except NotFound as error:
        raise Invalid(f"Stripe has no price {price} on this tenant's account.", path) from error
    return product

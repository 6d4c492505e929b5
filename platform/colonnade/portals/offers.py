"""The products and prices that a portal offers, where a configuration may name plans instead of Stripe's ids."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from colonnade.errors import Invalid, NotFound
from colonnade.portals.canonical import quantity
from colonnade.portals.settings import AdjustableQuantity, PortalProduct
from colonnade_tenants.catalogue import Plan, get_plan
from colonnade_tenants.partition import TenantSession

PATH = "features.subscription_update.products"


class Offer(msgspec.Struct, frozen=True):
    """One entry of the list. *product* is null where only its price is known here: Stripe knows the product."""

    product: str | None
    prices: tuple[str, ...]
    adjustable_quantity: AdjustableQuantity | None


async def offers(
    session: TenantSession, products: Sequence[PortalProduct], plans: Mapping[str, Plan] | None = None
) -> list[Offer]:
    """*products* in their order, with plans replaced by what they are. Raises `Invalid`.

    *plans*: those that are about to be, which count before those that are.
    """
    return [await _offer(session, product, f"{PATH}[{index}]", plans or {}) for index, product in enumerate(products)]


async def _offer(session: TenantSession, product: PortalProduct, path: str, plans: Mapping[str, Plan]) -> Offer:
    adjustable = quantity(product.adjustable_quantity)
    if product.plan is None:
        return Offer(product.product, product.prices, adjustable)
    try:
        plan = plans.get(product.plan) or await get_plan(session, product.plan)
    except NotFound as error:
        raise Invalid(error.message, f"{path}.plan") from error
    if plan.price is not None:
        if product.prices:
            raise Invalid("This plan is one price: leave them out.", f"{path}.prices")
        return Offer(None, (plan.price,), adjustable)
    if not product.prices:
        raise Invalid("This plan is a whole product: name its prices.", f"{path}.prices")
    return Offer(plan.product, product.prices, adjustable)


def by_product(offered: Sequence[Offer], products: Sequence[str]) -> list[dict[str, Any]]:
    """What Stripe takes: each product once, with all its prices. *products*: the product of each offer.

    Raises `Invalid` where two plans of one product say different things of its quantity.
    """
    merged: dict[str, dict[str, Any]] = {}
    for index, (offer, name) in enumerate(zip(offered, products, strict=True)):
        product = merged.setdefault(name, {"product": name, "prices": []})
        product["prices"] = sorted({*product["prices"], *offer.prices})
        if offer.adjustable_quantity is None:
            continue
        wanted = msgspec.to_builtins(offer.adjustable_quantity)
        if product.setdefault("adjustable_quantity", wanted) != wanted:
            reason = f"Another plan of product {name} says something else: Stripe keeps one for each product."
            raise Invalid(reason, f"{PATH}[{index}].adjustable_quantity")
    return [merged[name] for name in sorted(merged)]

"""What Stripe's catalogue says of a portal's offers, found out before Stripe is asked to take them.

Each problem names its field. Source: Stripe docs, "Configure the customer portal" and API reference, "Create a portal
configuration": at most ten products, active recurring prices of these products, in the same account and mode.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from colonnade.access.guard import Tenant
from colonnade.errors import Invalid, NotFound
from colonnade.portals.offers import PATH, Offer, by_product
from colonnade.portals.rules import MOST_PRODUCTS
from colonnade.portals.settings import SubscriptionUpdate
from colonnade.services import Services
from colonnade.stripe_api.charges import ChargeType
from colonnade.stripe_api.client import StripeClient

Thing = Mapping[str, Any]


class Problem(msgspec.Struct, frozen=True):
    """*product*, or its *price*, cannot be offered. *archived*: it could once."""

    param: str
    detail: str
    product: str
    price: str | None = None
    archived: bool = False


class Examined(msgspec.Struct, frozen=True):
    """The offers as Stripe takes them, and what is wrong with them."""

    products: list[dict[str, Any]]
    problems: list[Problem]

    def require_none(self) -> None:
        """Raise `Invalid` for the first problem."""
        for problem in self.problems:
            raise Invalid(problem.detail, problem.param)


async def examine(
    services: Services,
    tenant: Tenant,
    client: StripeClient,
    offered: Sequence[Offer],
    update: SubscriptionUpdate | None = None,
) -> Examined:
    """Read what is offered from Stripe; *update*: the settings that it shall serve.

    Raises `Invalid` for a plan whose price is unknown, and `StripeUnavailable`.
    """
    names = await asyncio.gather(*(_product_of(client, offer, f"{PATH}[{n}]") for n, offer in enumerate(offered)))
    look = await _look(services, tenant, client, offered, {*names})
    problems = [each for n, offer in enumerate(offered) for each in look.problems(offer, names[n], f"{PATH}[{n}]")]
    if len(look.products) > MOST_PRODUCTS:
        many = f"At most {MOST_PRODUCTS} products; these plans and products are {len(look.products)}."
        problems.append(Problem(PATH, many, ""))
    products = by_product(offered, names)
    if update is not None and not _may_wait(update, products):
        one = "Stripe defers a change between prices of one product alone, and here is none with two."
        problems.append(Problem("features.subscription_update.schedule_at_period_end.conditions", one, ""))
    return Examined(products, problems)


def _may_wait(update: SubscriptionUpdate, products: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a change may be such as the conditions wait for; a lower quantity is a lower amount."""
    conditions = {condition.type for condition in update.schedule_at_period_end.conditions}
    fewer = "quantity" in update.default_allowed_updates and "decreasing_item_amount" in conditions
    return not update.enabled or not conditions or fewer or any(len(each["prices"]) > 1 for each in products)


async def _look(
    services: Services, tenant: Tenant, client: StripeClient, offered: Sequence[Offer], names: Collection[str]
) -> "_Look":
    found = await asyncio.gather(*(_read(client, name) for name in names))
    products = {name: product for name, (product, _) in zip(names, found, strict=True)}
    prices: dict[str, Thing | None] = {name: price for _, listed in found for name, price in listed.items()}
    unlisted = {price for offer in offered for price in offer.prices} - prices.keys()
    others = await asyncio.gather(*(_find(client, "prices", price) for price in unlisted))
    prices |= dict(zip(unlisted, others, strict=True))
    strangers = await _foreign(services, tenant, products | prices)
    return _Look(tenant, services.settings.livemode, products, prices, strangers)


class _Look(msgspec.Struct, frozen=True):
    """What was read, by id; None: Stripe has no such thing on this account."""

    tenant: Tenant
    live: bool
    products: Mapping[str, Thing | None]
    prices: Mapping[str, Thing | None]
    strangers: Collection[str]

    def problems(self, offer: Offer, name: str, path: str) -> Iterator[Problem]:
        """Of one entry; *name* is its product."""
        product, here = self.products[name], f"{path}.product"
        if product is None or name in self.strangers:
            yield Problem(here, self._none("product", name), name)
            return
        if product["livemode"] is not self.live:
            yield Problem(here, self._mode("product", name), name)
        if not product["active"]:
            for price in offer.prices:
                yield Problem(here, f"The product {name} is archived.", name, price, archived=True)
            return
        for index, price in enumerate(offer.prices):
            if wrong := self._price(price, name):
                detail, archived = wrong
                yield Problem(f"{path}.prices[{index}]", detail, name, price, archived)

    def _price(self, name: str, product: str) -> tuple[str, bool] | None:
        price = self.prices[name]
        if price is None or name in self.strangers:
            return self._none("price", name), False
        if price["product"] != product:
            return f"The price {name} is one of product {price['product']}, not of {product}.", False
        if price["livemode"] is not self.live:
            return self._mode("price", name), False
        if price["recurring"] is None:
            return f"The price {name} is paid once; a subscription needs a recurring one.", False
        return None if price["active"] else (f"The price {name} is archived.", True)

    def _none(self, kind: str, name: str) -> str:
        # The same for what is another tenant's: nobody shall learn what others sell.
        mode = "live" if self.live else "test"
        return f"Stripe has no {kind} {name} on this tenant's account in {mode} mode."

    def _mode(self, kind: str, name: str) -> str:
        here, there = ("live", "test") if self.live else ("test", "live")
        return f"The {kind} {name} is of {there} mode, and this deployment serves {here} mode."


async def _product_of(client: StripeClient, offer: Offer, path: str) -> str:
    if offer.product is not None:
        return offer.product
    price = await _find(client, "prices", offer.prices[0])
    if price is None:
        raise Invalid(f"Stripe has no price {offer.prices[0]} on this tenant's account.", path)
    product: str = price["product"]
    return product


async def _read(client: StripeClient, product: str) -> tuple[Thing | None, dict[str, Thing]]:
    """The product, and its prices by id."""
    found = await _find(client, "products", product)
    prices: dict[str, Thing] = {}
    more = found is not None
    while more:
        after = {"starting_after": [*prices][-1]} if prices else {}
        page = await client.get("/v1/prices", {"product": product, "limit": 100} | after)
        prices |= {price["id"]: price for price in page["data"]}
        more = page["has_more"] and bool(page["data"])
    return found, prices


async def _find(client: StripeClient, kind: str, name: str) -> Thing | None:
    try:
        found = await client.get(f"/v1/{kind}/{name}")
    except NotFound:
        return None
    return None if found.get("deleted") else found


async def _foreign(services: Services, tenant: Tenant, things: Mapping[str, Thing | None]) -> set[str]:
    """What other tenants alone sell, by their plans or by our metadata; on an account of its own nothing is."""
    if tenant.charge_type is ChargeType.DIRECT:
        return set()
    query = "select id, bool_or(tenant_id = $2) as own from plan_objects where id = any($1) group by id"
    async with services.database.platform_pool.acquire() as connection:
        sold = await connection.fetch(query, [*things], tenant.id)
    claimed = {name for name, thing in things.items() if thing and _owner(thing) not in (None, tenant.public_id)}
    return claimed | {row["id"] for row in sold if not row["own"]}


def _owner(thing: Thing) -> str | None:
    owner: str | None = (thing.get("metadata") or {}).get("colonnade_tenant")
    return owner

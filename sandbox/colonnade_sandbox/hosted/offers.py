"""What a subscription may be changed to: the prices and quantities that the configuration lists."""

from dataclasses import dataclass
from typing import Any

from colonnade_sandbox import periods
from colonnade_sandbox.hosted import summary
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.resources import price_amounts
from colonnade_sandbox.store import Object

FEATURE = "subscription_update"
CHANGEABLE = ("active", "trialing", "past_due")
MOST = 999_999


@dataclass(frozen=True, slots=True)
class Offer:
    """A price that may be chosen. `minimum` and `maximum` bound the quantity; both None fix it."""

    price: Object
    title: str
    detail: str | None
    description: str | None
    is_current: bool
    minimum: int | None
    maximum: int | None


def can_update(visit: Visit, subscription: Object) -> bool:
    """Several items, usage-based prices, planned changes and cancellations rule a change out."""
    if not visit.has(FEATURE) or subscription["cancel_at"] is not None or subscription["status"] not in CHANGEABLE:
        return False
    items = subscription["items"]["data"]
    if len(items) > 1 or "quantity" not in items[0] or subscription["schedule"] is not None:
        return False
    return takes_codes(visit) or any(_is_choice(offer) for offer in offers(visit, subscription))


def takes_codes(visit: Visit) -> bool:
    return visit.has(FEATURE) and "promotion_code" in visit.feature(FEATURE)["default_allowed_updates"]


def _is_choice(offer: Offer) -> bool:
    return not offer.is_current or offer.minimum is not None


def offers(visit: Visit, subscription: Object) -> list[Offer]:
    """What may be chosen, the current plan among it; by interval, then by price."""
    feature, call = visit.configuration["features"][FEATURE], visit.call()
    current = subscription["items"]["data"][0]["price"]
    found = []
    for listed in feature["products"]:
        product = call.find("product", listed["product"]) or {"active": False}
        for name in listed["prices"]:
            price = call.find("price", name)
            price = price_amounts.in_currency(price, subscription["currency"]) if price is not None else None
            if price is None:
                continue
            is_current = name == current["id"]
            on_sale = price["active"] and product["active"] and "price" in feature["default_allowed_updates"]
            if is_current or on_sale:
                found.append(_offer(visit, price, product, is_current, _bounds(feature, listed)))
    if not any(offer.is_current for offer in found):
        found.append(_offer(visit, current, {}, True, _bounds(feature, _listed(feature, current["product"]))))
    return sorted(found, key=lambda offer: (length(offer.price), offer.price["unit_amount"] or 0))


def _listed(feature: dict[str, Any], product: str) -> dict[str, Any]:
    return next((listed for listed in feature["products"] if listed["product"] == product), {})


def _bounds(feature: dict[str, Any], listed: dict[str, Any]) -> tuple[int | None, int | None]:
    adjustable = listed.get("adjustable_quantity") or {"enabled": False}
    if "quantity" not in feature["default_allowed_updates"] or not adjustable["enabled"]:
        return None, None
    return max(adjustable["minimum"], 1), adjustable["maximum"] or MOST


def _offer(
    visit: Visit, price: Object, product: Object, is_current: bool, bounds: tuple[int | None, int | None]
) -> Offer:
    title, detail = summary.product_name(visit, price), summary.nickname(visit, price)
    return Offer(price, title, detail, product.get("description"), is_current, *bounds)


def length(price: Object) -> int:
    """Seconds of a price's interval, near enough to compare two."""
    return periods.step(0, price["recurring"], 1)

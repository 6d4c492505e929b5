"""Taking out of a configuration what cannot be sold any more."""

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from colonnade.portals.offers import Offer
from colonnade.portals.settings import PortalProduct, PortalSettings, SubscriptionUpdate


def without(settings: PortalSettings, offered: Sequence[Offer], archived: Collection[str]) -> PortalSettings:
    """*settings* without the *archived* prices; *offered* are its products, in their order.

    Where nothing is left to switch to, customers may switch no more.
    """
    update = settings.features.subscription_update
    kept = []
    for product, offer in zip(update.products, offered, strict=True):
        left = tuple(price for price in offer.prices if price not in archived)
        if left:
            kept.append(_with(product, left))
    return replace(settings, features=replace(settings.features, subscription_update=_left(update, kept)))


def _with(product: PortalProduct, prices: tuple[str, ...]) -> PortalProduct:
    return replace(product, prices=prices) if product.prices else product


def _left(update: SubscriptionUpdate, products: Sequence[PortalProduct]) -> SubscriptionUpdate:
    if products:
        return replace(update, products=tuple(products))
    others = tuple(each for each in update.default_allowed_updates if each == "promotion_code")
    return replace(update, enabled=bool(others), default_allowed_updates=others, products=())

"""What a customer will be able to do in the portal, told before Stripe is asked for the session.

The rules are Stripe's ("Configure the customer portal", "Deep links in the customer portal") and, where those are
silent, what its stand-in does. Pure: what is known of configuration, subscriptions and prices comes in, words come out.
"""

from collections.abc import Iterator
from typing import Literal

from colonnade.portals.facts import Facts, Offered, Subscription
from colonnade.portals.flows import AnyFlow, SubscriptionUpdateConfirm
from colonnade.portals.offers import Offer
from colonnade.portals.reasons import Reason, reason
from colonnade.portals.settings import AdjustableQuantity, PortalSettings

Action = Literal["cancel", "keep", "update", "pause", "resume", "withdraw"]
ENDED = frozenset({"canceled", "incomplete_expired"})
_CHANGEABLE = frozenset({"active", "trialing", "past_due"})


def blocked(facts: Facts, flow: AnyFlow) -> list[Reason]:
    """Why the flow's step would not be there; none: it is."""
    if facts.closed:
        return [*facts.closed]
    feature = _feature(facts.settings, _FEATURES.get(flow_type(flow), flow_type(flow)))
    if feature:
        return [feature]
    name: str | None = getattr(flow, "subscription", None)
    if name is None:
        return []
    found = next((each for each in facts.subscriptions if each.id == name), None)
    if found is None:
        return [reason("unknown_subscription")]
    if isinstance(flow, SubscriptionUpdateConfirm):
        return list(_confirm(facts, found, flow))
    return actions(facts, found)[_ACTIONS[flow_type(flow)]]


def actions(facts: Facts, found: Subscription) -> dict[Action, list[Reason]]:
    """What stands in the way of each action on the portal's pages; an empty list: nothing."""
    rules: dict[Action, Iterator[Reason]] = {
        "cancel": _cancel(facts, found),
        "keep": _keep(facts, found),
        "update": _update(facts, found),
        "pause": _pause(facts, found),
        "resume": _resume(facts, found),
        "withdraw": _withdraw(facts, found),
    }
    return {name: list(rule) for name, rule in rules.items()}


def offered(facts: Facts, found: Subscription) -> list[Offered]:
    """What the update page lists for the subscription, the current price always among it."""
    if not found.items:
        return []
    current, update = found.items[0], facts.settings.features.subscription_update
    listed: list[Offered] = []
    for offer in facts.offers:
        bounds = _bounds(facts.settings, offer.adjustable_quantity)
        for price in offer.prices:
            is_current = price == current.price
            if is_current or ("price" in update.default_allowed_updates and _available(facts, found, price)):
                listed.append(Offered(price, offer.product or _product(facts, price), is_current, *bounds))
    if not any(each.current for each in listed):
        same = (offer.adjustable_quantity for offer in facts.offers if _is_product(facts, offer, current.product))
        listed.append(Offered(current.price, current.product, True, *_bounds(facts.settings, next(same, None))))
    return listed


def flow_type(flow: AnyFlow) -> str:
    """Stripe's name of the flow."""
    return str(flow.__struct_config__.tag)


def _seen(found: Subscription) -> Iterator[Reason]:
    if not found.visible:
        yield reason("not_visible")
    if found.status in ENDED:
        yield reason("ended")


def _feature(settings: PortalSettings, name: str) -> Reason | None:
    return None if getattr(settings.features, name).enabled else reason("feature_off", feature=name)


def _needs(facts: Facts, found: Subscription, feature: str) -> Iterator[Reason]:
    yield from facts.closed
    if off := _feature(facts.settings, feature):
        yield off
    yield from _seen(found)


def _cancel(facts: Facts, found: Subscription) -> Iterator[Reason]:
    yield from _needs(facts, found, "subscription_cancel")
    if found.cancelling:
        yield reason("already_cancelling")


def _keep(facts: Facts, found: Subscription) -> Iterator[Reason]:
    yield from _needs(facts, found, "subscription_cancel")
    if not found.cancelling:
        yield reason("not_cancelling")


def _resume(facts: Facts, found: Subscription) -> Iterator[Reason]:
    yield from _needs(facts, found, "subscription_pause")
    if found.status != "paused":
        yield reason("not_paused")


def _withdraw(facts: Facts, found: Subscription) -> Iterator[Reason]:
    yield from _needs(facts, found, "subscription_update")
    if not found.pending:
        yield reason("nothing_pending")


def _pause(facts: Facts, found: Subscription) -> Iterator[Reason]:
    yield from _needs(facts, found, "subscription_pause")
    if found.status != "active" and found.status not in ENDED:
        yield reason("status", status=found.status)
    yield from _free(found)
    if not found.flexible:
        yield reason("classic_billing")


def _free(found: Subscription) -> Iterator[Reason]:
    if found.cancelling:
        yield reason("already_cancelling")
    if found.scheduled:
        yield reason("scheduled")


def _changeable(facts: Facts, found: Subscription) -> Iterator[Reason]:
    yield from _needs(facts, found, "subscription_update")
    if found.status not in _CHANGEABLE | ENDED:
        yield reason("status", status=found.status)
    yield from _free(found)
    if len(found.items) > 1:
        yield reason("several_items")
    elif found.items and found.items[0].quantity is None:
        yield reason("metered")


def _update(facts: Facts, found: Subscription) -> Iterator[Reason]:
    yield from _changeable(facts, found)
    update = facts.settings.features.subscription_update
    codes = update.enabled and "promotion_code" in update.default_allowed_updates
    if update.enabled and not codes and not any(each.is_choice for each in offered(facts, found)):
        yield reason("nothing_to_choose")


def _confirm(facts: Facts, found: Subscription, flow: SubscriptionUpdateConfirm) -> Iterator[Reason]:
    """Its caller chose: neither the choices nor the bounds of the quantity count, but the list of prices does."""
    yield from _changeable(facts, found)
    if len(found.items) != 1:
        return
    item, wish = found.items[0], flow.items[0]
    price = wish.price or item.price
    if wish.id != item.id:
        yield reason("unknown_item")
    if wish.quantity is not None and wish.quantity < 1:
        yield reason("quantity")
    if not any(price in offer.prices for offer in facts.offers):
        yield reason("price_not_offered")
    elif price not in {each.price for each in offered(facts, found)}:
        yield reason("price_not_available")
    if any((each.coupon is None) == (each.promotion_code is None) for each in flow.discounts):
        yield reason("discount")
    same = price == item.price and wish.quantity in (None, item.quantity)
    if same and not flow.discounts:
        yield reason("no_change")


def _available(facts: Facts, found: Subscription, name: str) -> bool:
    if facts.prices is None:
        return True
    price = facts.prices.get(name)
    return price is not None and price.active and (found.currency is None or found.currency in price.currencies)


def _product(facts: Facts, price: str) -> str:
    found = (facts.prices or {}).get(price)
    return found.product if found else ""


def _is_product(facts: Facts, offer: Offer, product: str) -> bool:
    return offer.product == product or (offer.product is None and _product(facts, offer.prices[0]) == product)


def _bounds(settings: PortalSettings, adjustable: AdjustableQuantity | None) -> tuple[int | None, int | None]:
    allowed = "quantity" in settings.features.subscription_update.default_allowed_updates
    if not allowed or adjustable is None or not adjustable.enabled:
        return None, None
    return max(adjustable.minimum or 0, 1), adjustable.maximum or 999_999


_FEATURES = {"subscription_update_confirm": "subscription_update"}
_ACTIONS: dict[str, Action] = {
    "subscription_cancel": "cancel",
    "subscription_pause": "pause",
    "subscription_update": "update",
}

"""Switch to another plan, or to another quantity: only what the configuration lists."""

from dataclasses import dataclass

from colonnade_sandbox import periods
from colonnade_sandbox.hosted import flows, pages, summary, words
from colonnade_sandbox.hosted.offers import FEATURE, Offer, can_update, length, offers
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Response
from colonnade_sandbox.resources import subscriptions
from colonnade_sandbox.store import Object

FLOWS = (FEATURE, "subscription_update_confirm")


@dataclass(frozen=True, slots=True)
class Choice:
    """A change that may be made."""

    price: Object
    quantity: int
    item: Object

    @property
    def switches(self) -> bool:
        return bool(self.price["id"] != self.item["price"]["id"])


def choose(visit: Visit, key: str) -> Response:
    """The list of plans; a choice leads to the page that confirms it."""
    subscription = _open(visit, key)
    listed, item = offers(visit, subscription), subscription["items"]["data"][0]
    bounded = [offer for offer in listed if offer.minimum is not None]
    return visit.page(
        "update.html",
        summary=summary.of(visit, subscription),
        offers=listed,
        quantity=item["quantity"],
        minimum=min((offer.minimum or 1 for offer in bounded), default=None),
        maximum=max((offer.maximum or 1 for offer in bounded), default=None),
        back=flows.way_back(visit, FEATURE, subscription=key),
    )


def confirm(visit: Visit, key: str) -> Response:
    """What the change costs and when it takes effect."""
    subscription = _open(visit, key)
    choice = _choice(visit, subscription, visit.request.arguments)
    back = flows.way_back(visit, "subscription_update_confirm", subscription=key)
    if not flows.is_step(visit, ("subscription_update_confirm",), key):
        back = (visit.url("subscriptions", key, "update"), visit.t("Choose another plan"))
    return visit.page(
        "confirm.html",
        summary=summary.of(visit, subscription),
        choice=choice,
        title=summary.product_name(visit, choice.price),
        detail=summary.nickname(visit, choice.price),
        terms=_terms(visit, subscription, choice),
        back=back,
    )


def _terms(visit: Visit, subscription: Object, choice: Choice) -> str:
    """When the change applies and what is charged next."""
    t, total = visit.t, words.total_price(choice.price, choice.quantity, visit.t)
    now, end = visit.call().now, choice.item["current_period_end"]
    old, new = choice.item["price"]["recurring"], choice.price["recurring"]
    if subscription["status"] == "trialing":
        if not _ends_trial(visit):
            text = "Your plan changes now and your trial goes on. From {date} you pay {price}."
            return t(text, date=t.date(end), price=total)
        return t("Your plan changes now, your trial ends, and you pay {price} from today.", price=total)
    if (old["interval"], old["interval_count"]) != (new["interval"], new["interval_count"]):
        text = "Your plan changes now and a new billing period starts. It renews on {date} at {price}."
        return t(text, date=t.date(periods.step(now, new, 1)), price=total)
    return t("Your plan changes now. From {date} you pay {price}.", date=t.date(end), price=total)


def update(visit: Visit, key: str) -> Response:
    subscription = _open(visit, key)
    choice = _choice(visit, subscription, visit.request.form)
    wish = {"id": choice.item["id"], "quantity": choice.quantity}
    if choice.switches:
        wish["price"] = choice.price["id"]
    params = {"items": [wish], "proration_behavior": visit.feature(FEATURE)["proration_behavior"]}
    if subscription["status"] == "trialing" and _ends_trial(visit):
        params["trial_end"] = "now"
    visit.run(subscriptions.update, key, **params)
    return flows.finish(visit, *FLOWS, notice="updated", subscription=key)


def _ends_trial(visit: Visit) -> bool:
    return bool(visit.feature(FEATURE)["trial_update_behavior"] == "end_trial")


def _open(visit: Visit, key: str) -> Object:
    visit.feature(FEATURE)
    subscription = visit.subscription(key)
    if not can_update(visit, subscription) and not flows.confirmed(visit, key):
        raise pages.Refused(409, "Not possible", "This subscription cannot be changed here.")
    return subscription


def _choice(visit: Visit, subscription: Object, given: dict[str, str]) -> Choice:
    """The wish of a form or link.

    Raises Refused: 400 for a price that is not listed, a quantity out of bounds, or no change at all.
    """
    item = subscription["items"]["data"][0]
    name = given.get("price") or item["price"]["id"]
    quantity = _quantity(given.get("quantity"), item["quantity"])
    offer = next((offer for offer in offers(visit, subscription) if offer.price["id"] == name), None)
    if offer is None:
        raise pages.Refused(400, "Plan not available", "This plan is not on offer.")
    if (name, quantity) == (item["price"]["id"], item["quantity"]):
        raise pages.Refused(400, "Nothing to change", "This is the plan that you have.")
    if not _is_wish_of_flow(visit, subscription, name, quantity):
        _check_quantity(offer, quantity, item["quantity"])
    choice = Choice(offer.price, quantity, item)
    _check_possible(visit, choice)
    return choice


def _quantity(given: str | None, current: int) -> int:
    if not given:
        return current
    if not given.isascii() or not given.isdigit() or len(given) > 6:
        raise pages.Refused(400, "Please check the quantity", "The quantity must be a whole number.")
    return int(given)


def _is_wish_of_flow(visit: Visit, subscription: Object, price: str, quantity: int) -> bool:
    """A confirm flow's quantity was decided by the server that made the session."""
    wanted = flows.confirmed(visit, subscription["id"])
    return wanted is not None and (wanted["price"], wanted.get("quantity")) == (price, quantity)


def _check_quantity(offer: Offer, quantity: int, current: int) -> None:
    if offer.minimum is None or offer.maximum is None:
        if quantity != current:
            raise pages.Refused(403, "Not available", "The quantity of this plan cannot be changed here.")
    elif not offer.minimum <= quantity <= offer.maximum:
        text = f"The quantity must be from {offer.minimum} to {offer.maximum}."
        raise pages.Refused(400, "Please check the quantity", text)


def _check_possible(visit: Visit, choice: Choice) -> None:
    """Changes that Stripe would defer or that move the anchor need what this sandbox does not have: refuse them."""
    feature = visit.feature(FEATURE)
    conditions = {condition["type"] for condition in feature["schedule_at_period_end"]["conditions"]}
    before, after = choice.item["price"], choice.price
    lower = choice.quantity * (after["unit_amount"] or 0) < choice.item["quantity"] * (before["unit_amount"] or 0)
    shorter = length(after) < length(before)
    deferred = (lower and "decreasing_item_amount" in conditions) or (shorter and "shortening_interval" in conditions)
    if deferred and before["product"] == after["product"]:
        text = "The sandbox cannot schedule changes for the end of a period."
        raise pages.Refused(501, "Not implemented", text)
    if feature["billing_cycle_anchor"] == "now":
        raise pages.Refused(501, "Not implemented", "The sandbox cannot move the billing date with a change of plan.")

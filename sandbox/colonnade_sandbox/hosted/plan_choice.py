"""The wish of a form or a link: which plan, how many, with which code; and what the API is asked for it."""

from dataclasses import dataclass, field
from typing import Any

from colonnade_sandbox.hosted import deferral, flows, offers, pages
from colonnade_sandbox.hosted.offers import FEATURE, Offer
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.resources import promotion_codes
from colonnade_sandbox.store import Object


@dataclass(frozen=True, slots=True)
class Choice:
    """A change that may be made. `deferred` waits for the end of the period."""

    price: Object
    quantity: int
    item: Object
    discounts: list[dict[str, Any]] = field(default_factory=list)
    code: str = ""
    deferred: bool = False

    @property
    def switches(self) -> bool:
        return bool(self.price["id"] != self.item["price"]["id"])

    @property
    def changes_plan(self) -> bool:
        return self.switches or bool(self.quantity != self.item["quantity"])


def read(visit: Visit, subscription: Object, given: dict[str, str]) -> Choice:
    """Raises Refused: 400 for a price that is not listed, a quantity out of bounds, or no change at all."""
    item = subscription["items"]["data"][0]
    name = given.get("price") or item["price"]["id"]
    quantity = _quantity(given.get("quantity"), item["quantity"])
    offer = next((offer for offer in offers.offers(visit, subscription) if offer.price["id"] == name), None)
    if offer is None:
        raise pages.Refused(400, "Plan not available", "This plan is not on offer.")
    of_flow = _is_wish_of_flow(visit, subscription, name, quantity)
    # What a flow gives goes with the change that it is about, and with no other.
    given_by_flow = flows.discounts(visit, subscription["id"]) if of_flow else []
    discounts = [*given_by_flow, *_typed(visit, given.get("code", "").strip())]
    changes = (name, quantity) != (item["price"]["id"], item["quantity"])
    if not changes and not discounts:
        raise pages.Refused(400, "Nothing to change", "This is the plan that you have.")
    if changes and not of_flow:
        _check_quantity(visit, offer, quantity, item["quantity"])
    deferred = changes and deferral.waits(visit, subscription, offer.price, quantity)
    return Choice(offer.price, quantity, item, discounts, given.get("code", "").strip(), deferred)


def params(visit: Visit, subscription: Object, choice: Choice) -> dict[str, Any]:
    """The parameters of the subscription's update; those of a deferred plan are left to its schedule."""
    found: dict[str, Any] = {}
    if choice.discounts:
        found["discounts"] = [{"discount": key} for key in subscription["discounts"]] + choice.discounts
    if not choice.changes_plan or choice.deferred:
        return found
    feature = visit.feature(FEATURE)
    wish = {"id": choice.item["id"], "quantity": choice.quantity}
    if choice.switches:
        wish["price"] = choice.price["id"]
    found |= {"items": [wish], "proration_behavior": feature["proration_behavior"]}
    # A card that declines leaves the plan as it was.
    found["payment_behavior"] = "error_if_incomplete"
    if subscription["status"] == "trialing" and ends_trial(visit):
        found["trial_end"] = "now"
    elif feature["billing_cycle_anchor"] == "now":
        found["billing_cycle_anchor"] = {"type": "now"}
    return found


def ends_trial(visit: Visit) -> bool:
    return bool(visit.feature(FEATURE)["trial_update_behavior"] == "end_trial")


def _quantity(given: str | None, current: int) -> int:
    if not given:
        return current
    if not given.isascii() or not given.isdigit() or len(given) > 6:
        raise pages.Refused(400, "Please check the quantity", "The quantity must be a whole number.")
    return int(given)


def _typed(visit: Visit, code: str) -> list[dict[str, Any]]:
    """The discount of a code that was typed.

    Raises Refused: 403 where codes are not taken, 400 for one that is not valid.
    """
    if not code:
        return []
    if not offers.takes_codes(visit):
        raise pages.Refused(403, "Not available", "Promotion codes are not taken here.")
    found = promotion_codes.typed(visit.call(), code)
    if found is None:
        raise pages.Refused(400, "Please check the code", "This code is not valid.")
    return [{"promotion_code": found["id"]}]


def _is_wish_of_flow(visit: Visit, subscription: Object, price: str, quantity: int) -> bool:
    """A confirm flow may go past what the customer could choose: its caller chose."""
    wanted = flows.confirmed(visit, subscription["id"])
    return wanted is not None and (wanted["price"], wanted.get("quantity")) == (price, quantity)


def _check_quantity(visit: Visit, offer: Offer, quantity: int, current: int) -> None:
    if offer.minimum is None or offer.maximum is None:
        if quantity != current:
            raise pages.Refused(403, "Not available", "The quantity of this plan cannot be changed here.")
    elif not offer.minimum <= quantity <= offer.maximum:
        text = visit.t("The quantity must be from {least} to {most}.", least=offer.minimum, most=offer.maximum)
        raise pages.Refused(400, "Please check the quantity", text)

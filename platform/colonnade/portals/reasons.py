"""Why something cannot be done in the portal: stable codes, and a sentence for each."""

from msgspec import Struct


class Reason(Struct, frozen=True):
    """Why something cannot be done: a stable *code*, and a sentence."""

    code: str
    message: str


_SENTENCES = {
    "configuration_inactive": "The portal configuration {configuration!r} was deactivated at Stripe: revert that.",
    "feature_off": "The configuration switches {feature} off.",
    "unknown_subscription": "This customer has no such subscription.",
    "not_visible": "The subscription is not on behalf of this tenant's account, so the portal does not show it.",
    "ended": "The subscription has ended.",
    "status": "The subscription is {status}.",
    "already_cancelling": "The subscription is set to be cancelled already.",
    "not_cancelling": "The subscription is not set to be cancelled.",
    "not_paused": "The subscription is not paused.",
    "nothing_pending": "No change of plan is pending.",
    "scheduled": "The subscription has a schedule, such as a pending change of plan.",
    "several_items": "The subscription has several items, which the portal cannot change.",
    "metered": "The price is by usage, which the portal cannot change.",
    "classic_billing": "The subscription's billing mode is classic, which has no pause.",
    "nothing_to_choose": "The configuration offers nothing else that could be chosen.",
    "unknown_item": "The subscription has no such item.",
    "price_not_offered": "The price is not among those that the configuration offers.",
    "price_not_available": "The price is archived, or has no amount in the subscription's currency.",
    "quantity": "The quantity must be one or more.",
    "no_change": "The subscription is like that already.",
    "no_payment_method": "The customer has no default payment method.",
    "current_price_not_offered": "The configuration does not offer the current price: there is no way back to it.",
    "discount": "Give either a coupon or a promotion code.",
}


def reason(code: str, **values: str) -> Reason:
    """The reason with this code, in words."""
    return Reason(code, _SENTENCES[code].format(**values))

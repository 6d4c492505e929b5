"""One form for all bodies that mean the same, so that equal content has an equal hash.

Lists whose order means nothing are sorted, and a feature that is off has none of its details: Stripe is not sent them.
Source: Stripe API reference, "The portal configuration object", which gives no list an order.
"""

from collections.abc import Iterable
from typing import TypeVar

from msgspec.structs import replace

from colonnade.portals.settings import (
    AdjustableQuantity,
    CancellationReason,
    CustomerUpdate,
    Features,
    Interval,
    PauseDuration,
    PaymentMethodUpdate,
    PortalProduct,
    PortalSettings,
    SubscriptionCancel,
    SubscriptionPause,
    SubscriptionUpdate,
)

T = TypeVar("T", bound=str)

_DAYS = {"day": 1, "week": 7, "month": 31, "year": 366}


def canonical(settings: PortalSettings) -> PortalSettings:
    """*settings* in that form. It means the same to Stripe, and is the same when made canonical again."""
    features = settings.features
    return replace(
        settings,
        features=Features(
            customer_update=_details(features.customer_update),
            invoice_history=features.invoice_history,
            payment_method_update=features.payment_method_update
            if features.payment_method_update.enabled
            else PaymentMethodUpdate(enabled=False),
            subscription_cancel=_cancel(features.subscription_cancel),
            subscription_pause=_pause(features.subscription_pause),
            subscription_update=_update(features.subscription_update),
        ),
    )


def _sorted(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(sorted({*values}))


def _details(details: CustomerUpdate) -> CustomerUpdate:
    if not details.enabled:
        return CustomerUpdate(enabled=False)
    return replace(details, allowed_updates=_sorted(details.allowed_updates))


def _cancel(cancel: SubscriptionCancel) -> SubscriptionCancel:
    if not cancel.enabled:
        return SubscriptionCancel(enabled=False)
    reason = cancel.cancellation_reason
    asked = CancellationReason(enabled=False)
    if reason.enabled:
        own = _sorted(reason.feedback_options)
        asked = replace(reason, options=_sorted(reason.options), feedback_options=own)
    return replace(cancel, cancellation_reason=asked)


def _pause(pause: SubscriptionPause) -> SubscriptionPause:
    if not pause.enabled:
        return SubscriptionPause(enabled=False)
    duration = pause.duration
    options: set[Interval] = set() if duration.type == "indefinite" else {*duration.interval_options}
    ordered = sorted(options, key=lambda each: (each.interval_count * _DAYS[each.interval], each.interval))
    return replace(pause, duration=PauseDuration(type=duration.type, interval_options=tuple(ordered)))


def _update(update: SubscriptionUpdate) -> SubscriptionUpdate:
    if not update.enabled:
        return SubscriptionUpdate(enabled=False)
    waiting = update.schedule_at_period_end
    conditions = {condition.type: condition for condition in waiting.conditions}
    products = sorted(map(_product, update.products), key=lambda each: (each.product or "", each.plan or ""))
    return replace(
        update,
        default_allowed_updates=_sorted(update.default_allowed_updates),
        products=tuple(products),
        schedule_at_period_end=replace(waiting, conditions=tuple(conditions[key] for key in sorted(conditions))),
    )


def _product(product: PortalProduct) -> PortalProduct:
    return replace(product, prices=_sorted(product.prices), adjustable_quantity=quantity(product.adjustable_quantity))


def quantity(given: AdjustableQuantity | None) -> AdjustableQuantity | None:
    """None where the quantity cannot be adjusted; the least is 1 unless it is said, and is then told to Stripe."""
    if given is None or not given.enabled:
        return None
    return replace(given, minimum=1 if given.minimum is None else given.minimum)

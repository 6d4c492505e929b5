"""What differs between two states of a customer, in the words that a tenant acts on."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from colonnade_tenants.portal.state import State, Subscription

What = Literal[
    "subscription_ended",
    "cancellation_scheduled",
    "cancellation_withdrawn",
    "plan_changed",
    "quantity_changed",
    "plan_change_scheduled",
    "plan_change_withdrawn",
    "subscription_paused",
    "subscription_resumed",
    "discount_added",
    "discount_removed",
    "status_changed",
    "payment_method_added",
    "payment_method_removed",
    "default_payment_method_changed",
    "details_changed",
    "tax_ids_changed",
    "invoice_paid",
]
_ENDED = frozenset({"canceled", "incomplete_expired"})


class Change(Struct, frozen=True, omit_defaults=True):
    """One difference; *subscription* or *invoice* where it is one's, *fields* of billing details."""

    what: What
    subscription: str | None = None
    fields: list[str] = []
    invoice: str | None = None


def changes(before: State, after: State) -> list[Change]:
    """What became different; an empty list: nothing did."""
    return [*_of_subscriptions(before, after), *_of_billing(before, after)]


def _of_subscriptions(before: State, after: State) -> Iterator[Change]:
    # One that was not known is older than that: nobody starts a subscription in the portal.
    known = {each.id: each for each in before.subscriptions}
    for now in after.subscriptions:
        if then := known.get(now.id):
            yield from (Change(what, now.id) for what in _differences(then, now))


def _differences(then: Subscription, now: Subscription) -> Iterator[What]:
    if now.status in _ENDED:
        if then.status not in _ENDED:
            yield "subscription_ended"
        return
    yield from _status(then.status, now.status)
    if (then.cancel_at is None) != (now.cancel_at is None):
        yield "cancellation_scheduled" if then.cancel_at is None else "cancellation_withdrawn"
    if {item.price for item in then.items} != {item.price for item in now.items}:
        yield "plan_changed"
    elif sorted((item.price, item.quantity) for item in then.items) != sorted(
        (item.price, item.quantity) for item in now.items
    ):
        yield "quantity_changed"
    if then.pending != now.pending:
        if now.pending:
            yield "plan_change_scheduled"
        elif then.items == now.items:  # else it took effect
            yield "plan_change_withdrawn"
    yield from _discounts(then.discounts, now.discounts)


def _discounts(then: list[str] | None, now: list[str] | None) -> Iterator[What]:
    if then is None or now is None:
        return
    if {*now} - {*then}:
        yield "discount_added"
    if {*then} - {*now}:
        yield "discount_removed"


def _status(then: str, now: str) -> Iterator[What]:
    if then == now:
        return
    if now == "paused":
        yield "subscription_paused"
    elif then == "paused":
        yield "subscription_resumed"
    else:
        yield "status_changed"


def _of_billing(before: State, after: State) -> Iterator[Change]:
    old, new = {*before.payment_methods}, {*after.payment_methods}
    if new - old:
        yield Change("payment_method_added")
    if old - new:
        yield Change("payment_method_removed")
    told = bool(before.details)
    if told and before.default_payment_method != after.default_payment_method:
        yield Change("default_payment_method_changed")
    fields = [name for name, digest in after.details.items() if told and before.details.get(name) != digest]
    if fields:
        yield Change("details_changed", fields=sorted(fields))
    if before.tax_ids != after.tax_ids:
        yield Change("tax_ids_changed")
    for name in before.invoices:
        if after.invoices.get(name) == "paid":
            yield Change("invoice_paid", invoice=name)

"""Entitlements as a pure function of subscriptions, plans and policy: no clock, no database, no order.

The result spans all time that the facts speak of. It starts with Stripe's `start_date` and keeps what has ended, since
dropping that by the clock would let the same facts give different rows on different days. Whoever reads compares
`valid_from` and `valid_until` with the time asked about, so that an end needs no job to take effect.

A subscription that does not grant now leaves no interval, not even one in the past: `ended_at` of a canceled one may
lie ahead of our clock (a test clock's does), and an interval up to it would go on granting. History has the past.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

import msgspec

Kind = Literal["flag", "limit", "quantity"]

LARGEST = 2**53 - 1
"""The largest value: JSON readers that know no integers keep it exact."""


class Item(msgspec.Struct, frozen=True):
    """One item of a subscription (`si_…`)."""

    id: str
    price: str
    product: str
    quantity: int
    current_period_end: datetime


class Subscription(msgspec.Struct, frozen=True):
    """What entitlements depend on in a subscription. *past_due_since* is set while it is `past_due`."""

    status: str
    started_at: datetime
    cancel_at: datetime | None
    cancel_at_period_end: bool
    ended_at: datetime | None
    past_due_since: datetime | None
    items: tuple[Item, ...]


class Grant(msgspec.Struct, frozen=True):
    """*value* is 1 for a flag and None for no limit; *per_unit* multiplies it by the item's quantity."""

    feature: str
    kind: Kind
    value: int | None
    per_unit: bool = False


class Plan(msgspec.Struct, frozen=True):
    """What a price or a product grants."""

    price: str | None
    product: str | None
    grants: tuple[Grant, ...]


class Policy(msgspec.Struct, frozen=True):
    """*grace*: how long a subscription goes on granting after it became `past_due`."""

    grace: timedelta = timedelta(days=7)


class Entitlement(msgspec.Struct, frozen=True):
    """A feature's value in [*valid_from*, *valid_until*), and the subscription items it comes from.

    *valid_until* is None where no end is known; *value* is 1 for a flag and None for no limit.
    """

    feature: str
    kind: Kind
    value: int | None
    valid_from: datetime
    valid_until: datetime | None
    sources: tuple[str, ...]


class _Piece(msgspec.Struct, frozen=True):
    """What one item grants of one feature."""

    kind: Kind
    value: int | None
    start: datetime
    end: datetime | None
    source: str


def compute(subscriptions: Iterable[Subscription], plans: Iterable[Plan], policy: Policy) -> list[Entitlement]:
    """Each feature's timeline, by feature and time; intervals of one feature never overlap."""
    by_price, by_product = _index(plans)
    pieces: dict[str, list[_Piece]] = defaultdict(list)
    for subscription in subscriptions:
        if (span := granted_span(subscription, policy)) is None:
            continue
        for item in subscription.items:
            plan = by_price.get(item.price) or by_product.get(item.product)
            for grant in plan.grants if plan else ():
                piece = _Piece(grant.kind, _amount(grant, item.quantity), *span, item.id)
                pieces[grant.feature].append(piece)
    return [entitlement for feature in sorted(pieces) for entitlement in _timeline(feature, pieces[feature])]


def granted_span(subscription: Subscription, policy: Policy) -> tuple[datetime, datetime | None] | None:
    """When this subscription grants, as far as is known now; None if it does not.

    `active` and `trialing` grant, `past_due` for the time of grace, nothing else does ("Subscription statuses", Stripe
    documentation). It ends by the earliest of what ends it.
    """
    grace_end = None
    if subscription.status == "past_due" and subscription.past_due_since is not None:
        grace_end = subscription.past_due_since + policy.grace
    elif subscription.status not in {"active", "trialing"}:
        return None
    ends = [end for end in (_scheduled_end(subscription), subscription.ended_at, grace_end) if end is not None]
    end = min(ends, default=None)
    return None if end is not None and end <= subscription.started_at else (subscription.started_at, end)


def _scheduled_end(subscription: Subscription) -> datetime | None:
    """In flexible billing mode the portal's cancellation sets `cancel_at` alone, in classic mode the flag.

    Periods are the items', and differ where their intervals do ("Compare classic and flexible billing mode").
    """
    if subscription.cancel_at is not None or not subscription.cancel_at_period_end:
        return subscription.cancel_at
    return max((item.current_period_end for item in subscription.items), default=None)


def _index(plans: Iterable[Plan]) -> tuple[dict[str, Plan], dict[str, Plan]]:
    known = list(plans)
    by_price = {plan.price: plan for plan in known if plan.price is not None}
    return by_price, {plan.product: plan for plan in known if plan.product is not None}


def _amount(grant: Grant, quantity: int) -> int | None:
    if grant.value is None:
        return None
    return min(grant.value * quantity, LARGEST) if grant.per_unit else grant.value


def _timeline(feature: str, pieces: Sequence[_Piece]) -> Iterator[Entitlement]:
    """The pieces of one feature, cut at every start and end, combined between two cuts, joined again where equal."""
    last: Entitlement | None = None
    for start, end in _cuts(pieces):
        valid = [piece for piece in pieces if piece.start <= start and (piece.end is None or start < piece.end)]
        if not valid:
            continue
        sources = tuple(sorted({piece.source for piece in valid}))
        new = Entitlement(feature, valid[0].kind, _combine(valid), start, end, sources)
        if last is not None and last.valid_until == start and (last.value, last.sources) == (new.value, sources):
            last = msgspec.structs.replace(last, valid_until=end)
            continue
        if last is not None:
            yield last
        last = new
    if last is not None:
        yield last


def _cuts(pieces: Sequence[_Piece]) -> Iterator[tuple[datetime, datetime | None]]:
    starts, ends = {piece.start for piece in pieces}, {piece.end for piece in pieces}
    moments = sorted(starts | {end for end in ends if end is not None})
    yield from pairwise(moments)
    if None in ends:
        yield moments[-1], None


def _combine(pieces: Sequence[_Piece]) -> int | None:
    """Quantities add, limits take the larger (None is the largest), a flag is a flag."""
    values = [piece.value for piece in pieces if piece.value is not None]
    if len(values) < len(pieces):
        return None
    return min(sum(values), LARGEST) if pieces[0].kind == "quantity" else max(values)

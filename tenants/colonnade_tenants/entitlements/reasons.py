"""Why a value is what it is, in words that a support team can follow."""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from colonnade_tenants.entitlements.compute import Piece
from colonnade_tenants.entitlements.model import FOREVER, Effect


class Reason(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that says something of a feature in [*valid_from*, *valid_until*).

    *rule*: `active`, `trialing`, `grace` (while past due) or `override`. *ends_by*: what ends it, such as `cancel_at`,
    `cancel_at_period_end`, `ended_at`, `grace`, a later version of the `plan`, or the `policy` of *policy_version*.
    *matched* says whether the plan was found by the item's `price` or its `product`. *per_unit* is what one unit of
    *quantity* gives. *event*: the Stripe event that the subscription's state is from.
    """

    source: str
    rule: str
    effect: Effect = "grant"
    value: int | None
    valid_from: datetime
    valid_until: datetime | None = None
    ends_by: str | None = None
    grace_until: datetime | None = None
    policy_version: int | None = None
    subscription: str | None = None
    status: str | None = None
    item: str | None = None
    price: str | None = None
    product: str | None = None
    matched: str | None = None
    quantity: int | None = None
    per_unit: int | None = None
    plan: str | None = None
    plan_version: int | None = None
    event: str | None = None


def reasons_of(pieces: Iterable[Piece]) -> list[Reason]:
    """A reason for each piece, by time."""
    return sorted(map(_reason, pieces), key=lambda reason: (reason.valid_from, reason.source))


def _reason(piece: Piece) -> Reason:
    until = None if piece.end == FOREVER else piece.end
    if piece.item is None or piece.plan is None or piece.grant is None or piece.span is None:
        return Reason(
            source=piece.source,
            rule="override",
            effect=piece.effect,
            value=piece.value,
            valid_from=piece.start,
            valid_until=until,
        )
    subscription, span = piece.subscription, piece.span
    return Reason(
        source=piece.source,
        rule=span.rule,
        value=piece.value,
        valid_from=piece.start,
        valid_until=until,
        ends_by=span.ends_by if piece.end == span.end else None if until is None else "plan",
        grace_until=span.end if span.ends_by == "grace" else None,
        policy_version=span.policy,
        subscription=subscription.id if subscription else None,
        status=subscription.status if subscription else None,
        item=piece.item.id,
        price=piece.item.price,
        product=piece.item.product,
        matched="price" if piece.plan.price is not None else "product",
        quantity=piece.item.quantity,
        per_unit=piece.grant.value if piece.grant.per_unit else None,
        plan=piece.plan.key,
        plan_version=piece.plan.version,
        event=subscription.event if subscription else None,
    )

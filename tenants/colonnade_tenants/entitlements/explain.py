"""Why a customer may, or may not: every value with what it comes from, and everything that gives nothing with why."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from colonnade_tenants.entitlements.compute import Piece, counting, held, pieces_of, timelines
from colonnade_tenants.entitlements.history import Recorded
from colonnade_tenants.entitlements.model import RULES, Entitlement, Facts, Item, Rule, Subscription
from colonnade_tenants.entitlements.reasons import Reason, reasons_of
from colonnade_tenants.entitlements.sold import sold
from colonnade_tenants.entitlements.spans import grace_deadline, granted_spans
from colonnade_tenants.entitlements.versions import in_effect

Why = Literal["no_plan", "status", "not_begun", "ended", "grace_ended", "trial", "collection_paused"]


class Idle(msgspec.Struct, frozen=True):
    """An item that gives nothing at the moment: *why*.

    `no_plan`: no plan is sold as its price or product. `status`: its subscription's status does not grant. `not_begun`,
    `ended`: by its dates. `grace_ended`: past due for too long. `trial`, `collection_paused`: by the tenant's policy.
    """

    subscription: str
    status: str
    item: str
    price: str
    product: str
    why: Why
    plan: str | None = None
    plan_version: int | None = None
    grace_until: datetime | None = None
    event: str | None = None


class Explained(msgspec.Struct, frozen=True):
    """A feature at a moment: *because* decides, *overruled* would without an override, *idle* gives nothing."""

    row: Entitlement | None
    rule: Rule | None
    because: list[Reason]
    overruled: list[Reason]
    idle: list[Idle]


def explain(facts: Facts, features: list[str], at: datetime) -> dict[str, Explained]:
    """Each of the features at the moment."""
    pieces = pieces_of(facts)
    rows = timelines(pieces, facts.combinations)
    idle = list(_idle(facts, at))
    return {
        feature: _explained(facts, feature, pieces.get(feature, []), held(rows, feature, at), idle, at)
        for feature in features
    }


def _explained(
    facts: Facts,
    feature: str,
    pieces: list[Piece],
    row: Entitlement | None,
    idle: list[tuple[Idle, set[str]]],
    at: datetime,
) -> Explained:
    deciding = counting(pieces, at)
    others = [piece for piece in pieces if piece.start <= at < piece.end and piece not in deciding]
    rule = in_effect([each for each in facts.combinations if each.feature == feature], at)
    default = RULES[row.kind][0] if row else None
    return Explained(
        row,
        rule.rule if rule and row else default,
        reasons_of(deciding),
        reasons_of(others),
        [each for each, granting in idle if feature in granting or each.why == "no_plan"],
    )


def _idle(facts: Facts, at: datetime) -> Iterator[tuple[Idle, set[str]]]:
    """Items that give nothing at the moment, each with the features that its plan grants."""
    catalogue = sold(facts.plans)
    for subscription in facts.subscriptions:
        spans = granted_spans(subscription, facts.policies)
        granting = any(span.start <= at < span.end for span in spans)
        for item in subscription.items:
            if not item.since <= at < item.until:
                continue
            plan = next((plan for plan, start, end in catalogue.plans_of(item) if start <= at < end), None)
            if plan is None:
                yield _item(subscription, item, "no_plan"), set()
            elif not granting:
                why = _why(subscription, facts, at)
                found = _item(subscription, item, why)
                deadline = grace_deadline(subscription, facts.policies)
                yield (
                    msgspec.structs.replace(found, plan=plan.key, plan_version=plan.version, grace_until=deadline),
                    {grant.feature for grant in plan.grants},
                )


def _why(subscription: Subscription, facts: Facts, at: datetime) -> Why:
    if at < subscription.started_at:
        return "not_begun"
    if subscription.status not in ("active", "trialing", "past_due"):
        return "status"
    deadline = grace_deadline(subscription, facts.policies)
    if deadline is not None and deadline <= at:
        return "grace_ended"
    unpaused = msgspec.structs.replace(subscription, pause_behavior=None)
    if any(span.start <= at < span.end for span in granted_spans(unpaused, facts.policies)):
        return "collection_paused"
    paying = msgspec.structs.replace(unpaused, status="active")
    if subscription.status == "trialing" and any(
        span.start <= at < span.end for span in granted_spans(paying, facts.policies)
    ):
        return "trial"
    return "ended" if subscription.status != "past_due" or subscription.past_due_since else "status"


def _item(subscription: Subscription, item: Item, why: Why) -> Idle:
    return Idle(subscription.id, subscription.status, item.id, item.price, item.product, why, event=subscription.event)


def remembered(change: Recorded | None, at: datetime) -> Explained:
    """What the change, which was the last one then, says of the moment; None: nothing had been granted yet."""
    if change is None:
        return Explained(None, None, [], [], [])
    valid = [reason for reason in change.reasons if reason.valid_from <= at and _lasts(reason, at)]
    row = held(change.after, change.feature, at)
    sources = row.sources if row else ()
    return Explained(
        row,
        None,
        [reason for reason in valid if reason.source in sources],
        [reason for reason in valid if reason.source not in sources],
        [],
    )


def _lasts(reason: Reason, at: datetime) -> bool:
    return reason.valid_until is None or at < reason.valid_until

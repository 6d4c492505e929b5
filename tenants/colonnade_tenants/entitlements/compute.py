"""Entitlements as a pure function of subscriptions, plans, overrides and policy: no clock, no database, no order.

The result spans all time that the facts speak of. It starts with Stripe's `start_date` and keeps what has ended, since
dropping that by the clock would let the same facts give different rows on different days. Whoever reads compares
`valid_from` and `valid_until` with the time asked about (`held`), so that an end needs no job to take effect.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise

import msgspec

from colonnade_tenants.entitlements.model import (
    FOREVER,
    LARGEST,
    RULES,
    Combination,
    Effect,
    Entitlement,
    Facts,
    Grant,
    Item,
    Kind,
    Override,
    Plan,
    Rule,
    Subscription,
)
from colonnade_tenants.entitlements.sold import sold
from colonnade_tenants.entitlements.spans import Span, granted_spans
from colonnade_tenants.entitlements.versions import in_effect


class Piece(msgspec.Struct, frozen=True):
    """What one item, or one override, says of one feature in [*start*, *end*), and why."""

    kind: Kind
    value: int | None
    start: datetime
    end: datetime
    source: str
    effect: Effect = "grant"
    plan: Plan | None = None
    grant: Grant | None = None
    item: Item | None = None
    subscription: Subscription | None = None
    span: Span | None = None


Pieces = Mapping[str, Sequence[Piece]]


def compute(facts: Facts) -> list[Entitlement]:
    """Each feature's timeline, by feature and time; intervals of one feature never overlap."""
    return timelines(pieces_of(facts), facts.combinations)


def pieces_of(facts: Facts) -> dict[str, list[Piece]]:
    """All that is said of each feature, before it is combined."""
    pieces: dict[str, list[Piece]] = defaultdict(list)
    catalogue = sold(facts.plans)
    for subscription in facts.subscriptions:
        if not (spans := granted_spans(subscription, facts.policies)):
            continue
        for item in subscription.items:
            for plan, since, until in catalogue.plans_of(item):
                for grant, piece in _granted(subscription, item, plan, spans, (since, until)):
                    pieces[grant.feature].append(piece)
    for override in facts.overrides:
        if override.start < override.end:
            pieces[override.feature].append(_overriding(override))
    return pieces


def timelines(pieces: Pieces, combinations: Sequence[Combination] = ()) -> list[Entitlement]:
    """The pieces combined, by feature and time."""
    rules: dict[str, list[Combination]] = defaultdict(list)
    for each in combinations:
        rules[each.feature].append(each)
    return [row for feature in sorted(pieces) for row in _timeline(feature, pieces[feature], rules.get(feature, ()))]


def held(rows: Iterable[Entitlement], feature: str, at: datetime) -> Entitlement | None:
    """The feature's interval that the moment lies in."""
    return next(
        (
            row
            for row in rows
            if row.feature == feature and row.valid_from <= at and (row.valid_until is None or at < row.valid_until)
        ),
        None,
    )


def counting(pieces: Iterable[Piece], at: datetime) -> list[Piece]:
    """Those that decide at the moment: a denial before all else, then what was set last, then all grants."""
    valid = [piece for piece in pieces if piece.start <= at < piece.end]
    effects = {piece.effect for piece in valid}
    if "deny" in effects:
        return [piece for piece in valid if piece.effect == "deny"]
    if "set" in effects:
        given = [piece for piece in valid if piece.effect == "set"]
        return [max(given, key=lambda piece: (piece.start, piece.source))]
    return valid


def _granted(
    subscription: Subscription, item: Item, plan: Plan, spans: Sequence[Span], window: tuple[datetime, datetime]
) -> Iterator[tuple[Grant, Piece]]:
    for span in spans:
        start, end = max(span.start, window[0], item.since), min(span.end, window[1], item.until)
        if start >= end:
            continue
        for grant in plan.grants:
            yield (
                grant,
                Piece(
                    grant.kind,
                    _amount(grant, item.quantity),
                    start,
                    end,
                    item.id,
                    plan=plan,
                    grant=grant,
                    item=item,
                    subscription=subscription,
                    span=span,
                ),
            )


def _overriding(override: Override) -> Piece:
    value = 0 if override.effect == "deny" else override.value
    return Piece(override.kind, value, override.start, override.end, override.id, override.effect)


def _amount(grant: Grant, quantity: int) -> int | None:
    if grant.value is None:
        return None
    return min(grant.value * quantity, LARGEST) if grant.per_unit else grant.value


def _timeline(feature: str, pieces: Sequence[Piece], rules: Sequence[Combination]) -> Iterator[Entitlement]:
    """The pieces of one feature, cut at every start and end, combined between two cuts, joined again where equal."""
    last: Entitlement | None = None
    for start, end in pairwise(_cuts(pieces, rules)):
        valid = counting(pieces, start)
        if not valid:
            continue
        rule = in_effect(rules, start) if rules else None
        value = combine(valid, rule.rule if rule else RULES[valid[0].kind][0])
        until = None if end == FOREVER else end
        new = Entitlement(feature, valid[0].kind, value, start, until, tuple(sorted({piece.source for piece in valid})))
        if last is not None and last.valid_until == start and _same(last, new):
            last = msgspec.structs.replace(last, valid_until=until)
            continue
        if last is not None:
            yield last
        last = new
    if last is not None:
        yield last


def _cuts(pieces: Sequence[Piece], rules: Sequence[Combination]) -> list[datetime]:
    edges = {edge for piece in pieces for edge in (piece.start, piece.end)}
    first, last = min(edges), max(edges)
    return sorted(edges.union([rule.since for rule in rules if first < rule.since < last]))


def _same(one: Entitlement, other: Entitlement) -> bool:
    return (one.kind, one.value, one.sources) == (other.kind, other.value, other.sources)


def combine(pieces: Sequence[Piece], rule: Rule) -> int | None:
    """One value of several; None, no limit, is the largest. A flag denied is 0 and granted 1."""
    values = [piece.value for piece in pieces if piece.value is not None]
    if len(values) < len(pieces):
        return None
    return min(sum(values), LARGEST) if rule == "sum" else max(values)

"""When a subscription grants: Stripe's statuses as the tenant's policy reads them.

A subscription that does not grant now leaves no interval, not even one in the past: `ended_at` of a canceled one may
lie ahead of our clock (a test clock's does), and an interval up to it would go on granting. History has the past.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from colonnade_tenants.entitlements.model import FOREVER, Policy, Subscription
from colonnade_tenants.entitlements.versions import in_effect, windows

_DEFAULT = Policy()


class Span(msgspec.Struct, frozen=True):
    """A subscription grants in [*start*, *end*).

    *rule*: what makes it grant; *ends_by*: what ends it; *policy*: the version that said so, where one was asked.
    """

    start: datetime
    end: datetime
    rule: str
    ends_by: str | None = None
    policy: int | None = None


def granted_spans(subscription: Subscription, policies: Sequence[Policy]) -> list[Span]:
    """When this subscription grants, as far as is known now, by time.

    `active` grants, `trialing` where the policy says so, `past_due` for the time of grace, nothing else does
    ("Subscription statuses", Stripe documentation). It ends by the earliest of what ends it.
    """
    end, ends_by = _end(subscription)
    spans = [_within(span, subscription.started_at, end, ends_by) for span in _by_status(subscription, policies)]
    whole = [span for span in spans if span.start < span.end]
    if subscription.pause_behavior is not None:
        whole = list(_unless_paused(subscription, whole, policies))
    return sorted(whole, key=lambda span: span.start)


def _within(span: Span, start: datetime, end: datetime, ends_by: str | None) -> Span:
    """The part of it in [*start*, *end*), the end being that of *ends_by*."""
    if span.end > end:
        span = msgspec.structs.replace(span, end=end, ends_by=ends_by)
    return span if span.start >= start else msgspec.structs.replace(span, start=start)


def grace_deadline(subscription: Subscription, policies: Sequence[Policy]) -> datetime | None:
    """When grace ends; None: it is not past due, or grace lasts until Stripe gives up.

    It is the policy's at the moment it became past due: a later policy moves no deadline that runs already.
    """
    if subscription.status != "past_due" or subscription.past_due_since is None:
        return None
    grace = (in_effect(policies, subscription.past_due_since) or _DEFAULT).grace
    return None if grace is None else subscription.past_due_since + grace


def _by_status(subscription: Subscription, policies: Sequence[Policy]) -> Iterator[Span]:
    start = subscription.started_at
    if subscription.status == "active":
        yield Span(start, FOREVER, "active")
    elif subscription.status == "trialing":
        for policy, since, until in windows(policies or [_DEFAULT]):
            if policy.trials:
                yield Span(since, until, "trialing", None if until == FOREVER else "policy", policy.version)
    elif subscription.status == "past_due" and subscription.past_due_since is not None:
        policy = in_effect(policies, subscription.past_due_since) or _DEFAULT
        deadline = grace_deadline(subscription, policies)
        yield Span(start, deadline or FOREVER, "grace", "grace" if deadline else None, policy.version)


def _unless_paused(subscription: Subscription, spans: list[Span], policies: Sequence[Policy]) -> Iterator[Span]:
    """Without the time for which the policy lets paused collection suspend access, until `resumes_at`."""
    resumes = subscription.pause_resumes_at or FOREVER
    for span in spans:
        for policy, since, until in windows(policies or [_DEFAULT]):
            start = max(span.start, since, resumes if policy.paused == "suspends" else since)
            end = min(span.end, until)
            if start < end:
                yield msgspec.structs.replace(
                    span, start=start, end=end, ends_by=span.ends_by if end == span.end else "policy"
                )


def _end(subscription: Subscription) -> tuple[datetime, str | None]:
    """In flexible billing mode the portal's cancellation sets `cancel_at` alone, in classic mode the flag.

    Periods are the items', and differ where their intervals do ("Compare classic and flexible billing mode").
    """
    ends: list[tuple[datetime, str]] = []
    if subscription.cancel_at is not None:
        ends.append((subscription.cancel_at, "cancel_at"))
    elif subscription.cancel_at_period_end and subscription.items:
        ends.append((max(item.current_period_end for item in subscription.items), "cancel_at_period_end"))
    if subscription.ended_at is not None:
        ends.append((subscription.ended_at, "ended_at"))
    return min(ends, default=(FOREVER, None), key=lambda end: end[0])

"""What will hold if nothing changes: the facts with what Stripe has announced already done.

What is stored counts on no announcement that Stripe may yet take back: a deferred change of plan, or the end of a trial
that grants nothing. Cancellations, ends of grace and of overrides are in what is stored.
"""

from collections.abc import Iterator

import msgspec

from colonnade_tenants.entitlements.model import Facts, Subscription


def foresee(facts: Facts) -> Facts:
    """The facts, each subscription with its pending items from their start, and active from the end of its trial."""
    subscriptions = tuple(
        after for subscription in facts.subscriptions for after in _after_trial(_with_pending(subscription))
    )
    return msgspec.structs.replace(facts, subscriptions=subscriptions)


def _with_pending(subscription: Subscription) -> Subscription:
    pending = subscription.pending
    if pending is None:
        return subscription
    now = (msgspec.structs.replace(item, until=pending.at) for item in subscription.items)
    then = (msgspec.structs.replace(item, since=pending.at) for item in pending.items)
    return msgspec.structs.replace(subscription, items=(*now, *then))


def _after_trial(subscription: Subscription) -> Iterator[Subscription]:
    if subscription.status != "trialing" or subscription.trial_end is None:
        yield subscription
        return
    ends = [end for end in (subscription.ended_at, subscription.trial_end) if end is not None]
    yield msgspec.structs.replace(subscription, ended_at=min(ends))
    yield msgspec.structs.replace(subscription, status="active", started_at=subscription.trial_end)

"""A mirrored subscription as entitlements are computed from it."""

from datetime import datetime

from colonnade_tenants.entitlements.model import Item, Subscription
from colonnade_tenants.subscriptions.snapshot import Facts


def subscription(name: str, facts: Facts, past_due_since: datetime | None, event: str) -> Subscription:
    """*name* is its id, *event* the one that the facts are from."""
    return Subscription(
        id=name,
        status=facts.status,
        started_at=facts.started_at,
        cancel_at=facts.cancel_at,
        cancel_at_period_end=facts.cancel_at_period_end,
        ended_at=facts.ended_at,
        trial_end=facts.trial_end,
        past_due_since=past_due_since,
        pause_behavior=facts.pause_behavior,
        pause_resumes_at=facts.pause_resumes_at,
        items=tuple(
            [Item(item.id, item.price, item.product, item.quantity, item.current_period_end) for item in facts.items]
        ),
        event=event,
    )

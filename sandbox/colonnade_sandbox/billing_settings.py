"""What an account sets in Stripe's Dashboard for failed payments; here by `POST /_sandbox/billing`."""

from typing import Literal

import msgspec

from colonnade_sandbox.store import Store

KIND = "_setting"
KEY = "billing"


class Billing(msgspec.Struct, forbid_unknown_fields=True):
    """What happens to a subscription whose payments fail, and how fast test clocks move."""

    # Days from each failed attempt to the next; after the last one `after_retries` applies.
    retry_days: tuple[int, ...] = (3, 5, 7)
    after_retries: Literal["cancel", "unpaid", "past_due"] = "cancel"
    # Days before a renewal at which `invoice.upcoming` tells of it; 0 for never.
    upcoming_days: int = 7
    # Seconds that a moving test clock rests after each work, so that webhooks arrive while it moves.
    advance_pace: float = 0.0


def of(store: Store, account: str) -> Billing:
    """The account's settings, or the defaults."""
    return msgspec.convert(store.find(account, KIND, KEY) or {}, Billing)


def keep(store: Store, account: str, wanted: Billing) -> None:
    store.put(account, KIND, KEY, msgspec.to_builtins(wanted))

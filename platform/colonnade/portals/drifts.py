"""What was found to differ at Stripe from what the tenant wrote."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from colonnade.portals.differences import Difference


class Archived(Struct, frozen=True):
    """A *price* of *product* that the portal offers, and that nobody can switch to any more."""

    product: str
    price: str
    detail: str


class Drift(Struct, frozen=True, kw_only=True):
    """*differences*: from what was written (`before`) to what Stripe has (`after`). *archived*: what cannot be sold.

    *state*: `open` until somebody adopts or reverts it; `reverted`, `adopted` or `repaired` then, *resolved_by* whom:
    an API key, a person at the command line, or null for Colonnade by the tenant's policy. *since* is Stripe's time of
    the edit. *event* is the event that told of it, an edit that was not Colonnade's; null: a regular look found it.
    """

    state: Literal["open", "reverted", "adopted", "repaired"]
    differences: list[Difference]
    archived: list[Archived]
    since: datetime
    event: str | None
    found_at: datetime
    resolved_at: datetime | None = None
    resolved_by: str | None = None

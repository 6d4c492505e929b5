"""Times that callers give: with their zone, in the years 2000 to 2999.

Stripe has none before, and no plan or key means one after. Nearer to the ends of Python's calendar some have no
counterpart in UTC, and the last of all is what the database's driver writes as infinity.
"""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

from colonnade_tenants.errors import Invalid

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
END = datetime(3000, 1, 1, tzinfo=UTC)
"""Exclusive."""
RULE = "A time with its zone, in the years 2000 to 2999."

Moment = Annotated[datetime, Meta(tz=True, description=RULE)]
"""A time in a request's body. `require_moment` says what its schema cannot."""


def require_moment(value: datetime, param: str | None) -> datetime:
    """*value*. Raises `Invalid` where it has no zone, or lies outside."""
    if value.tzinfo is None:
        raise Invalid("Give the time's zone; Z for UTC.", param)
    if not EARLIEST <= value < END:
        raise Invalid(RULE, param)
    return value

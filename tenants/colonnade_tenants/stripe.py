"""What a tenant's code may ask of Stripe: the account is bound, and nothing below can name another."""

from collections.abc import Mapping
from typing import Any, Protocol


class TenantStripe(Protocol):
    """Reads from Stripe on the account where this tenant's objects live."""

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The reply to `GET path` (such as `/v1/subscriptions/sub_…`), decoded.

        Raises `NotFound` for an object that Stripe does not have, and whatever the platform's client raises otherwise.
        """
        ...

"""The Stripe client that an event's handler gets: bound to the account that the event came from."""

from collections.abc import Mapping
from typing import Any

from colonnade.errors import Conflict
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.inbox import Claimed
from colonnade_tenants import accounts
from colonnade_tenants.partition import TenantConnection


class EventStripe:
    """Reads on the connected account that the event names; on the platform's where it names none.

    The account object itself is the platform's to read. Where the account has disconnected, nothing is asked.
    """

    def __init__(self, gateway: StripeGateway, tenant: TenantConnection, event: Claimed) -> None:
        self._tenant = tenant
        self._account = event.account
        on_account = event.account is not None and not event.type.startswith(("account.", "capability."))
        client = gateway.account(event.account) if event.account and on_account else gateway.platform
        self._client = client.bound(tenant=tenant.tenant_id, priority=Priority.EVENT)

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The reply to `GET path`. Raises `Conflict` where the account has disconnected, and the client's errors."""
        mirrored = await accounts.read(self._tenant, self._account) if self._account else None
        if mirrored and mirrored.access.disconnected_at:
            raise Conflict("The account has disconnected: its objects cannot be read any more.")
        return await self._client.get(path, params)

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
        self._gateway = gateway
        self._tenant = tenant
        self._event = event

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The reply to `GET path`. Raises `Conflict` where the account has disconnected, and the client's errors."""
        account = self._event.account
        mirrored = await accounts.read(self._tenant, account) if account else None
        if mirrored and mirrored.access.disconnected_at:
            raise Conflict("The account has disconnected: its objects cannot be read any more.")
        on_account = account if not self._event.type.startswith(("account.", "capability.")) else None
        client = self._gateway.account(on_account) if on_account else self._gateway.platform
        return await client.bound(tenant=self._tenant.tenant_id, priority=Priority.EVENT).get(path, params)

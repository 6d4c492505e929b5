"""What events about the connected account itself do."""

import msgspec
from msgspec import Struct

from colonnade_tenants import accounts
from colonnade_tenants.errors import Invalid
from colonnade_tenants.events import Event
from colonnade_tenants.fields import Reference, id_of
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe


async def account_updated(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the account."""
    account = event.thing
    if event.account is not None and account.get("id") != event.account:
        raise Invalid("The event is about another account than the one it came from.", "account")
    await accounts.apply_account(tenant, account, event, stripe)


class _Capability(Struct):
    id: str
    account: Reference
    status: str


async def capability_updated(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Read the account where the event says something that no newer snapshot of the account does."""
    capability = msgspec.json.decode(event.object, type=_Capability)
    account = id_of(capability.account)
    if event.account is not None and account != event.account:
        raise Invalid("The event is about another account than the one it came from.", "account")
    known = await accounts.read(tenant, account)
    if known is not None:
        same = known.facts.capabilities.get(capability.id, "unrequested") == capability.status
        if same or known.held.created > event.created or known.access.disconnected_at is not None:
            return
    found = await stripe.get(f"/v1/accounts/{account}")
    await accounts.apply_account(tenant, found, None, as_of=event.created)


async def account_disconnected(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Freeze from the signed body alone: by now the account's objects cannot be read any more."""
    await accounts.disconnect(tenant, _account(event), event)


async def account_connected(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Thaw an account that was connected again."""
    await accounts.authorize(tenant, _account(event), event)


def _account(event: Event) -> str:
    """The account of an event whose object is the application."""
    if event.account is None:
        raise Invalid("The event does not say which account it is from.", "account")
    return event.account

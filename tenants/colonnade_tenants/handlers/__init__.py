"""The routing table: which event types act, and why. What Stripe is asked to send is derived from it."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from colonnade_tenants import accounts, subscriptions
from colonnade_tenants.entitlements.store import recompute
from colonnade_tenants.errors import Invalid
from colonnade_tenants.events import Event
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe

__all__ = ["HANDLERS", "Event", "Handler"]

Handler = Callable[[Event, TenantConnection, TenantStripe], Awaitable[None]]
"""Called in a transaction that also marks the event as done. What it raises rolls back its effects and is retried."""


async def subscription_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the subscription, then bring its customer's entitlements in line."""
    snapshot = subscriptions.decode(event.object)
    customer = await subscriptions.apply(tenant, stripe, snapshot, event)
    if customer is not None:
        await recompute(tenant, customer, cause=event.id)


async def account_updated(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the account."""
    account = msgspec.json.decode(event.object, type=dict[str, Any])
    if event.account is not None and account.get("id") != event.account:
        raise Invalid("The event is about another account than the one it came from.", "account")
    await accounts.apply_account(tenant, account, event, stripe)


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


HANDLERS: dict[str, Handler] = {
    "customer.subscription.created": subscription_changed,  # grants at once if the first payment is done or trialing
    "customer.subscription.updated": subscription_changed,  # plan, quantity, status, cancellation set or taken back
    "customer.subscription.deleted": subscription_changed,  # ended; an immediate cancellation sends this alone
    "customer.subscription.paused": subscription_changed,  # status `paused` does not grant
    "customer.subscription.resumed": subscription_changed,  # and now it does again
    "account.updated": account_updated,  # onboarding done, a capability gained or lost, a requirement due
    "account.application.authorized": account_connected,  # connected, perhaps after a disconnection
    "account.application.deauthorized": account_disconnected,  # no call to this account works from here on
}

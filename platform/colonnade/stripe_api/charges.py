"""What the charge type decides: where a tenant's objects live, and which account a call names.

Sources: Stripe's "Create subscriptions with Connect", "Integrate the customer portal with the API".
"""

from enum import StrEnum
from typing import Any, Protocol

from colonnade.errors import Conflict
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.client import StripeClient, StripeGateway


class ChargeType(StrEnum):
    """How a tenant is paid: on its own account, or by the platform on its behalf."""

    DIRECT = "direct"
    DESTINATION = "destination"
    SEPARATE = "separate"


class Payee(Protocol):
    """What is known of a tenant where money is concerned."""

    @property
    def id(self) -> int: ...
    @property
    def charge_type(self) -> ChargeType: ...
    @property
    def stripe_account(self) -> str | None: ...
    @property
    def application_fee_percent(self) -> float | None: ...


def account_of(payee: Payee) -> str:
    """The tenant's connected account. Raises `Conflict` while it has none."""
    if payee.stripe_account is None:
        raise Conflict("This tenant has no connected account yet: repeat the request that created it, or connect one.")
    return payee.stripe_account


def client_for(gateway: StripeGateway, payee: Payee, priority: Priority = Priority.REQUEST) -> StripeClient:
    """A client on the account that holds the tenant's customers, subscriptions and portal configurations."""
    account_of(payee)
    account = custody(payee)
    client = gateway.account(account) if account else gateway.platform
    return client.bound(tenant=payee.id, priority=priority)


def custody(payee: Payee) -> str | None:
    """The connected account that holds the tenant's customers, subscriptions and portal configurations.

    None: the platform's own.
    """
    return account_of(payee) if payee.charge_type is ChargeType.DIRECT else None


def qualified(account: str | None, stripe_id: str) -> str:
    """What an object is known by here: on a connected account with that in front.

    Whoever has an account chooses its ids of products and coupons, which must not pass for an object elsewhere.
    """
    return f"{account}/{stripe_id}" if account else stripe_id


def subscription_params(payee: Payee) -> dict[str, Any]:
    """What a new subscription carries, so that the tenant is its merchant and is paid."""
    account = account_of(payee)
    params: dict[str, Any] = {}
    if payee.charge_type is not ChargeType.DIRECT:
        params["on_behalf_of"] = account
    if payee.charge_type is ChargeType.DESTINATION:
        params["transfer_data"] = {"destination": account}
    if payee.application_fee_percent is not None and payee.charge_type is not ChargeType.SEPARATE:
        params["application_fee_percent"] = payee.application_fee_percent
    return params


def portal_params(payee: Payee) -> dict[str, Any]:
    """What a portal session carries: the brand and the filter of the tenant's account.

    With direct charges the session is made on the connected account itself; naming the account there as well is the
    classic "No such customer" error.
    """
    return {} if payee.charge_type is ChargeType.DIRECT else {"on_behalf_of": account_of(payee)}

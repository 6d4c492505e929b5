"""A tenant's account at Stripe: made by the V1 or the V2 API, or found there. Whichever made it, it is shown as the V1
account object, which V1 reads give of either ("Connect and the Accounts v2 API", Stripe docs)."""

from datetime import datetime
from typing import Any, NamedTuple

from colonnade.accounts.new_tenants import Controller, NewTenant, controller_of
from colonnade.errors import DomainError, Invalid, NotFound, StripeRefused
from colonnade.stripe_api.client import StripeClient

# fmt: off
_EURO = (
    "AT", "BE", "CY", "DE", "EE", "ES", "FI", "FR", "GR", "HR", "IE", "IT", "LT", "LU", "LV", "MT", "NL", "PT", "SI",
    "SK",
)
# fmt: on
# Where the V2 API names a capability otherwise.
_V2_NAMES = {"us_bank_account_ach_payments": "ach_debit_payments"}
# How subscriptions are paid from bank accounts there; the name of the capability.
_DEBIT = {
    **dict.fromkeys(_EURO, "sepa_debit_payments"),
    "AU": "au_becs_debit_payments",
    "CA": "acss_debit_payments",
    "GB": "bacs_debit_payments",
    "US": "us_bank_account_ach_payments",
}


class Seen(NamedTuple):
    """An account object, and what time it was for Stripe when it was read; None: it comes from the account's making."""

    account: dict[str, Any]
    at: datetime | None = None


def capabilities_of(country: str | None) -> list[str]:
    """What is requested for a new account unless the caller says otherwise: to be a merchant of record, to be paid, and
    the usual way to pay subscriptions from a bank account, where *country* has one."""
    debit = _DEBIT.get(country or "")
    return ["card_payments", "transfers", *([debit] if debit else [])]


async def make(client: StripeClient, new: NewTenant, tenant: str) -> Seen:
    """The account of *tenant* (`ten_…`), made once however often this is repeated. Raises Stripe's errors."""
    key = f"account:{tenant}"
    if new.account_api == "v1":
        return Seen(await client.post("/v1/accounts", _v1(new, tenant), idempotency_key=key))
    made = await client.post("/v2/core/accounts", _v2(new, tenant), idempotency_key=key)
    return Seen(*await client.dated(f"/v1/accounts/{made['id']}"))


def _wanted(new: NewTenant) -> list[str]:
    return capabilities_of(new.country) if new.capabilities is None else new.capabilities


def _v1(new: NewTenant, tenant: str) -> dict[str, Any]:
    names = _wanted(new)
    params = {
        "country": new.country,
        "email": new.email,
        "business_type": new.business_type,
        "capabilities": {name: {"requested": True} for name in names} or None,
        "business_profile": {"name": new.name},
        "metadata": {"colonnade_tenant": tenant},
        **({"type": new.type} if new.type else {"controller": _controller(controller_of(new))}),
    }
    return {name: value for name, value in params.items() if value is not None}


def _controller(wanted: Controller) -> dict[str, Any]:
    params: dict[str, Any] = {
        "fees": {"payer": wanted.fees.payer},
        "losses": {"payments": wanted.losses.payments},
        "stripe_dashboard": {"type": wanted.stripe_dashboard.type},
    }
    if wanted.requirement_collection != "stripe":
        params["requirement_collection"] = wanted.requirement_collection
    return params


def _v2(new: NewTenant, tenant: str) -> dict[str, Any]:
    """A merchant, which direct charges and `on_behalf_of` need, that can receive transfers too where that is wanted."""
    requested = {"requested": True}
    names = _wanted(new)
    merchant = {_V2_NAMES.get(name, name): requested for name in names if name != "transfers"}
    configuration: dict[str, Any] = {"merchant": {"capabilities": merchant}}
    if "transfers" in names:
        configuration["recipient"] = {"capabilities": {"stripe_balance": {"stripe_transfers": requested}}}
    controller = controller_of(new)
    identity = {"country": new.country, "entity_type": new.business_type}
    params = {
        "contact_email": new.email,
        "display_name": new.name,
        "dashboard": controller.stripe_dashboard.type,
        "identity": {name: value for name, value in identity.items() if value} or None,
        "defaults": {
            "profile": {"doing_business_as": new.name},
            "responsibilities": {
                "fees_collector": "stripe" if controller.fees.payer == "account" else "application",
                "losses_collector": controller.losses.payments,
            },
        },
        "configuration": configuration,
        "metadata": {"colonnade_tenant": tenant},
    }
    return {name: value for name, value in params.items() if value is not None}


async def found(client: StripeClient, account: str) -> tuple[dict[str, Any], datetime]:
    """An account that is connected to the platform, and what time it was for Stripe.

    Raises `Invalid` for any other, the platform's own too, and Stripe's errors.
    """
    if await own(client) == account:
        raise Invalid("This is the platform's own account: a tenant needs one of its own.", "account")
    try:
        return await client.dated(f"/v1/accounts/{account}")
    except DomainError as error:
        if not is_out_of_reach(error):
            raise
        raise Invalid(f"{account} is not connected to this platform.", "account") from error


def is_out_of_reach(error: DomainError) -> bool:
    """Whether Stripe, refusing to read an account, says that we have no access to it, or that there is none.

    Other refusals are about our own key, such as a restricted one that may not read accounts.
    """
    return isinstance(error, NotFound) or (isinstance(error, StripeRefused) and error.code == "account_invalid")


async def own(client: StripeClient) -> str:
    """The platform's own account."""
    account: str = (await client.get("/v1/account"))["id"]
    return account

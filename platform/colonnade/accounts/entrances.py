"""What lets a business into its own account: a session for embedded components, a link to the Express Dashboard.

Both are secrets that Stripe makes anew for each visit: they are handed on, and neither kept nor logged.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from colonnade.access.guard import Tenant
from colonnade.errors import Conflict
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of


class Component(StrEnum):
    """Stripe's embedded components that show a business its own account ("Supported embedded components", Stripe docs).

    Those that lend money, issue cards or sell hardware are left out, and so are features that let a visitor in without
    signing in to Stripe.
    """

    ACCOUNT_ONBOARDING = "account_onboarding"
    ACCOUNT_MANAGEMENT = "account_management"
    NOTIFICATION_BANNER = "notification_banner"
    BALANCES = "balances"
    DISPUTES_LIST = "disputes_list"
    DOCUMENTS = "documents"
    PAYMENT_DETAILS = "payment_details"
    PAYMENT_METHOD_SETTINGS = "payment_method_settings"
    PAYMENTS = "payments"
    PAYOUTS = "payouts"
    PAYOUTS_LIST = "payouts_list"
    REPORTING_CHART = "reporting_chart"
    TAX_REGISTRATIONS = "tax_registrations"
    TAX_SETTINGS = "tax_settings"


class AccountSessionRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """The components that the page shows."""

    components: Annotated[list[Component], Meta(min_length=1, max_length=len(Component))]


class AccountSession(Struct, frozen=True):
    """*client_secret* is for Stripe's script on the tenant's page, and ends with the visit: make one for each."""

    client_secret: str
    expires_at: datetime
    components: list[Component]


class LoginLink(Struct, frozen=True):
    """A URL that opens the Express Dashboard, once: redirect to it, and do not mail it."""

    url: str


_NO_EXPRESS = {
    "full": "The owner signs in at https://dashboard.stripe.com: login links are for the Express Dashboard.",
    "none": "This account has no Stripe dashboard: show the owner an account session's components.",
}


async def open_session(services: Services, tenant: Tenant, asked: AccountSessionRequest) -> AccountSession:
    """A session for the tenant's account. Raises `Conflict`, Stripe's errors."""
    components = sorted(set(asked.components))
    params = {"account": account_of(tenant), "components": {name: {"enabled": True} for name in components}}
    reply = await services.stripe.platform.bound(tenant=tenant.id).post("/v1/account_sessions", params)
    expires = datetime.fromtimestamp(reply["expires_at"], UTC)
    return AccountSession(reply["client_secret"], expires, components)


async def login_link(services: Services, tenant: Tenant) -> LoginLink:
    """A link for the tenant's account. Raises `Conflict` where it has no Express Dashboard yet, Stripe's errors."""
    client = services.stripe.platform.bound(tenant=tenant.id)
    path = f"/v1/accounts/{account_of(tenant)}"
    account = await client.get(path)
    dashboard = _dashboard(account)
    if dashboard != "express":
        raise Conflict(_NO_EXPRESS.get(dashboard, _NO_EXPRESS["full"]))
    if not account.get("details_submitted"):
        raise Conflict("The business has to finish Stripe's onboarding first: make an onboarding link.")
    return LoginLink((await client.post(f"{path}/login_links"))["url"])


def _dashboard(account: dict[str, Any]) -> str:
    """Of accounts in charge of themselves Stripe tells none: they have the full one."""
    found: str = ((account.get("controller") or {}).get("stripe_dashboard") or {}).get("type") or "full"
    return found

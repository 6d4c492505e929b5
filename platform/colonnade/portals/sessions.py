"""Portal sessions. The server chooses customer, configuration and account; a caller names none by Stripe's id.

A session's URL lets whoever has it in: it is answered once, and neither stored nor logged.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, Struct
from sqlalchemy import select

from colonnade.access.guard import Tenant
from colonnade.accounts.ownership import owns
from colonnade.errors import Conflict, Invalid, NotFound, StripeRefused, StripeUnavailable
from colonnade.portals import store
from colonnade.portals.flows import AnyFlow, RedirectAfter, as_ours, flow_data
from colonnade.services import Services
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.charges import client_for, portal_params
from colonnade.web import allowed_url, stripe_key
from colonnade_tenants import customers
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import subscriptions

UNUSED_FOR = timedelta(minutes=5)
"""How long an unopened session lasts. Stripe publishes no figure; this is what users of it report."""

# fmt: off
Locale = Literal[
    "auto", "bg", "cs", "da", "de", "el", "en", "en-AU", "en-CA", "en-GB", "en-IE", "en-IN", "en-NZ", "en-SG", "es",
    "es-419", "et", "fi", "fil", "fr", "fr-CA", "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl",
    "pl", "pt", "pt-BR", "ro", "ru", "sk", "sl", "sv", "th", "tr", "vi", "zh", "zh-HK", "zh-TW",
]
# fmt: on


class SessionRequest(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """*configuration* by name, else the tenant's default; *return_url* else that configuration's."""

    configuration: str | None = None
    flow: AnyFlow | None = None
    return_url: Annotated[str, Meta(max_length=2000)] | None = None
    locale: Locale | None = None


class PortalSession(Struct):
    """Send the customer's browser to *url*, and do it before *expires_at*. *configuration* is the one that was used."""

    url: str
    configuration: str
    expires_at: datetime


class Opening(NamedTuple):
    """What a session is made of, once everything that the caller asked for was found to be allowed."""

    configuration: str
    params: dict[str, Any]


async def prepare(services: Services, tenant: Tenant, reference: str, wanted: SessionRequest) -> Opening:
    """Check what is *wanted* without asking Stripe. Raises `Invalid`, `NotFound`, `Conflict`, `StripeUnavailable`."""
    async with services.database.tenant(tenant.id) as session:
        customer = await customers.get(session, reference)
        if customer.stripe_customer is None:
            raise Conflict("Stripe does not have this customer yet; repeat the PUT that creates it.", "reference")
        configuration = await _configuration(session, wanted.configuration)
        if wanted.flow is not None:
            await _check_flow(session, tenant, customer.id, wanted.flow)
    if configuration.stripe_configuration is None:
        raise StripeUnavailable(f"Stripe does not have configuration {configuration.name!r} yet; repeat its PUT.")
    params = {
        "customer": customer.stripe_customer,
        "configuration": configuration.stripe_configuration,
        "return_url": _return_url(tenant, wanted, configuration),
        "locale": wanted.locale,
        "flow_data": flow_data(wanted.flow) if wanted.flow else None,
        **portal_params(tenant),
    }
    return Opening(configuration.name, params)


async def open_session(
    services: Services, tenant: Tenant, opening: Opening, idempotency_key: str | None = None
) -> PortalSession:
    """A fresh session at Stripe. Raises `StripeRefused`, `StripeUnavailable`."""
    client = client_for(services.stripe, tenant, Priority.PORTAL)
    key = stripe_key("session", tenant.public_id, given=idempotency_key)
    try:
        reply = await client.post("/v1/billing_portal/sessions", opening.params, idempotency_key=key)
    except StripeRefused as error:
        error.param = error.param and as_ours(error.param)
        raise
    expires = datetime.fromtimestamp(reply["created"], UTC) + UNUSED_FOR
    return PortalSession(reply["url"], opening.configuration, expires)


async def _configuration(session: TenantSession, name: str | None) -> store.Row:
    if name is not None:
        return await store.get(session, name, "configuration")
    if row := await store.default(session):
        return row
    raise NotFound("This tenant has no portal configuration yet.", "configuration")


def _return_url(tenant: Tenant, wanted: SessionRequest, configuration: store.Row) -> str:
    url = configuration.settings.default_return_url if wanted.return_url is None else wanted.return_url
    if url is None:
        raise Invalid("Name one: the configuration has no default_return_url.", "return_url")
    # The default too: the tenant's origins may have changed since it was set.
    return allowed_url(url, tenant.return_origins, "return_url")


async def _check_flow(session: TenantSession, tenant: Tenant, customer_id: int, flow: AnyFlow) -> None:
    if isinstance(flow.after_completion, RedirectAfter):
        allowed_url(flow.after_completion.return_url, tenant.return_origins, "flow.after_completion.return_url")
    subscription: str | None = getattr(flow, "subscription", None)
    if subscription is None:
        return
    mirrored = select(subscriptions.c.customer_id).where(
        subscriptions.c.tenant_id == TENANT, subscriptions.c.id == subscription
    )
    owner = await session.scalar(mirrored)
    # One just created has no mirror before its event; Stripe then checks the customer.
    if owner != customer_id and (owner is not None or not await owns(session, tenant, subscription)):
        raise NotFound(f"This customer has no subscription {subscription!r}.", "flow.subscription")

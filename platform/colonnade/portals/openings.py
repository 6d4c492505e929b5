"""What a portal session is to be made of, checked before Stripe is asked for it."""

import msgspec
from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.accounts.states import check_open
from colonnade.errors import Conflict, DeadEnd, StripeUnavailable
from colonnade.portals import judging
from colonnade.portals.choosing import Choice, Chosen, Customer, choose
from colonnade.portals.flows import AnyFlow
from colonnade.portals.reasons import Reason
from colonnade.portals.requests import SessionRequest, return_url
from colonnade.services import Services


class Opening(Struct, frozen=True):
    """What a session is made of, once everything that the caller asked for was found to be allowed.

    *crowded*: the customer had as many visits lately as a minute may have.
    """

    customer: Customer
    chosen: Chosen
    wanted: SessionRequest
    return_url: str
    flow: AnyFlow | None
    crowded: bool
    left_out: Reason | None = None

    @property
    def code(self) -> str | None:
        """Of the reason why the flow was left out."""
        return self.left_out.code if self.left_out else None

    def without_flow(self, reason: Reason) -> "Opening":
        """The portal's home page instead, if the caller allowed that. Raises `DeadEnd`."""
        if not self.wanted.fallback:
            raise DeadEnd(reason.message, "flow", code=reason.code)
        return msgspec.structs.replace(self, flow=None, left_out=reason)


async def chosen_for(services: Services, tenant: Tenant, reference: str, wanted: SessionRequest) -> tuple[Choice, str]:
    """Whose portal it is, its configuration, and where it leads back.

    Raises `Closed`, `Invalid`, `NotFound`, `Conflict`.
    """
    check_open(tenant)
    most = services.settings.portal_sessions_per_minute
    choice = await choose(services.database.app_pool, tenant.id, reference, wanted.configuration, most=most)
    check_open(msgspec.structs.replace(tenant, state=choice.state))  # what was known of it may be a second old
    if choice.customer.stripe_customer is None:
        raise Conflict("Stripe does not have this customer yet; repeat the PUT that creates it.", "reference")
    return choice, return_url(tenant, wanted, choice.chosen.settings.default_return_url)


async def prepare(services: Services, tenant: Tenant, reference: str, wanted: SessionRequest) -> Opening:
    """Check what is *wanted*. Raises `Closed`, `Invalid`, `NotFound`, `Conflict`, `DeadEnd`, …"""
    choice, back = await chosen_for(services, tenant, reference, wanted)
    customer, chosen = choice.customer, choice.chosen
    if chosen.stripe_configuration is None:
        raise StripeUnavailable(f"Stripe does not have configuration {chosen.name!r} yet; repeat its PUT.")
    opening = Opening(customer, chosen, wanted, back, wanted.flow, choice.crowded)
    if wanted.flow is None:
        return opening
    reasons = await judging.flow_blocked(services, tenant, customer, chosen, wanted.flow)
    return opening.without_flow(reasons[0]) if reasons else opening

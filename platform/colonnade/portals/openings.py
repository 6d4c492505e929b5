"""What a portal session is to be made of, checked before Stripe is asked for it."""

import msgspec
from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.accounts.states import check_open
from colonnade.errors import Conflict, DeadEnd, StripeUnavailable
from colonnade.portals import judging
from colonnade.portals.choosing import Choice, Chosen, Customer, Draft, choose
from colonnade.portals.flows import AnyFlow
from colonnade.portals.reasons import Reason
from colonnade.portals.requests import SessionRequest, return_url
from colonnade.services import Services
from colonnade_tenants.portal.visits import Kept


class Opening(Struct, frozen=True):
    """What a session is made of, once everything that the caller asked for was found to be allowed.

    *kept*: what became of the draft of its visit; None: it is still to be kept.
    """

    customer: Customer
    chosen: Chosen
    wanted: SessionRequest
    return_url: str
    flow: AnyFlow | None
    left_out: Reason | None = None
    kept: Kept | None = None

    @property
    def code(self) -> str | None:
        """Of the reason why the flow was left out."""
        return self.left_out.code if self.left_out else None

    def without_flow(self, reason: Reason) -> "Opening":
        """The portal's home page instead, if the caller allowed that. Raises `DeadEnd`."""
        if not self.wanted.fallback:
            raise DeadEnd(reason.message, "flow", code=reason.code)
        return msgspec.structs.replace(self, flow=None, left_out=reason)


async def chosen_for(
    services: Services, tenant: Tenant, reference: str, wanted: SessionRequest, draft: Draft | None = None
) -> tuple[Choice, str]:
    """Whose portal it is, its configuration, and where it leads back. Raises `Invalid`, `NotFound`, `Conflict`."""
    choice = await choose(services.database.app_pool, tenant.id, reference, wanted.configuration, draft)
    if choice.customer.stripe_customer is None:
        raise Conflict("Stripe does not have this customer yet; repeat the PUT that creates it.", "reference")
    return choice, return_url(tenant, wanted, choice.chosen.settings.default_return_url)


async def prepare(
    services: Services, tenant: Tenant, reference: str, wanted: SessionRequest, draft: Draft | None = None
) -> Opening:
    """Check what is *wanted*; with a *draft*, in the round trip that keeps the visit, if nothing else is to be checked.

    Raises `Closed`, `Invalid`, `NotFound`, `Conflict`, `DeadEnd`, …
    """
    check_open(tenant)
    choice, back = await chosen_for(services, tenant, reference, wanted, draft)
    customer, chosen = choice.customer, choice.chosen
    if chosen.stripe_configuration is None:
        raise StripeUnavailable(f"Stripe does not have configuration {chosen.name!r} yet; repeat its PUT.")
    opening = Opening(customer, chosen, wanted, back, wanted.flow, kept=choice.kept)
    if wanted.flow is None:
        return opening
    reasons = await judging.flow_blocked(services, tenant, customer, chosen, wanted.flow)
    return opening.without_flow(reasons[0]) if reasons else opening

"""What a tenant's account may do, and what is still due, in words."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.errors import Closed, NotFound, StripeRefused
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of
from colonnade_tenants.readiness import ReadinessState, Requirement, requirements_of, state_of


class Readiness(Struct):
    """*state* in one word, Stripe's own switches, and *requirements*, the most urgent first."""

    state: ReadinessState
    charges_enabled: bool
    payouts_enabled: bool
    details_submitted: bool
    disabled_reason: str | None
    requirements: list[Requirement]
    events_complete_until: datetime | None = None
    """No event of the tenant's is missing up to then, by Stripe's clock; null: no sweep has looked yet."""


# The accounts that a tenant's events come from: its own and, unless it charges directly, the platform's.
_COMPLETE = """
select min(complete_until) from sweeps
where account = any ($1) having count(*) = cardinality($1)
"""


async def readiness(services: Services, tenant: Tenant) -> Readiness:
    """The account's state as Stripe has it now. Raises Stripe's errors."""
    try:
        account = await services.stripe.platform.bound(tenant=tenant.id).get(f"/v1/accounts/{account_of(tenant)}")
    except (NotFound, StripeRefused, Closed):
        return Readiness("disconnected", False, False, False, None, [])
    found = assess(account)
    found.events_complete_until = await _complete_until(services, tenant)
    return found


async def _complete_until(services: Services, tenant: Tenant) -> datetime | None:
    sources = [account_of(tenant), *([] if tenant.charge_type == "direct" else [""])]
    async with services.database.platform_pool.acquire() as connection:
        at: datetime | None = await connection.fetchval(_COMPLETE, sources)
    return at


def assess(account: dict[str, Any]) -> Readiness:
    """The readiness of an account object of Stripe's."""
    due = account.get("requirements") or {}
    return Readiness(
        state=state_of(account),
        charges_enabled=bool(account.get("charges_enabled")),
        payouts_enabled=bool(account.get("payouts_enabled")),
        details_submitted=bool(account.get("details_submitted")),
        disabled_reason=due.get("disabled_reason"),
        requirements=requirements_of(account),
    )

"""Whether Stripe lets a configuration be used: somebody may have deactivated it there."""

from colonnade.access.guard import Tenant
from colonnade.errors import DeadEnd
from colonnade.portals import pushing, store
from colonnade.portals.choosing import Chosen
from colonnade.portals.reasons import reason
from colonnade.services import Services
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.charges import client_for

INACTIVE = "configuration_inactive"


async def is_active(services: Services, tenant: Tenant, chosen: Chosen) -> bool:
    """As Stripe says it now; true for one that Stripe does not have yet. Raises `NotFound`, `StripeUnavailable`."""
    if chosen.stripe_configuration is None:
        return True
    client = client_for(services.stripe, tenant, Priority.PORTAL)
    return bool((await client.get(f"{pushing.PATH}/{chosen.stripe_configuration}"))["active"])


async def check_active(services: Services, tenant: Tenant, chosen: Chosen) -> None:
    """Stripe's own refusal names its configuration, which the tenant does not know. Raises `DeadEnd`."""
    if not await is_active(services, tenant, chosen):
        found = reason(INACTIVE, configuration=chosen.name)
        raise DeadEnd(found.message, "configuration", code=found.code)


async def check_known(services: Services, tenant: Tenant, chosen: Chosen) -> None:
    """The same, where it was found that somebody changed that: what is asked for often cannot ask Stripe each time.

    Raises `DeadEnd`, `NotFound`, `StripeUnavailable`.
    """
    async with services.database.tenant(tenant.id) as session:
        row = await store.find(session, chosen.name)
    drift = row and row.drift
    if drift and drift.state == "open" and any(each.field == "active" for each in drift.differences):
        await check_active(services, tenant, chosen)

"""Which Stripe objects are a tenant's, so that an event that names no account still finds its tenant."""

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from colonnade.database.tables import stripe_objects
from colonnade.errors import Conflict
from colonnade.stripe_api.charges import Payee, custody, qualified
from colonnade_tenants.partition import TENANT, TenantSession


async def own(session: TenantSession, tenant: Payee, stripe_id: str) -> None:
    """Note that *stripe_id* is the tenant's. Harmless to repeat. Raises `Conflict` if it is another tenant's."""
    name = qualified(custody(tenant), stripe_id)
    await session.execute(insert(stripe_objects).values(tenant_id=TENANT, id=name).on_conflict_do_nothing())
    if not await owns(session, tenant, stripe_id):
        raise Conflict(f"{stripe_id} belongs to another tenant.")


async def owns(session: TenantSession, tenant: Payee, stripe_id: str) -> bool:
    """Whether *stripe_id* is known to be the tenant's."""
    name = qualified(custody(tenant), stripe_id)
    found = select(stripe_objects.c.id).where(stripe_objects.c.tenant_id == TENANT, stripe_objects.c.id == name)
    return (await session.execute(found)).one_or_none() is not None

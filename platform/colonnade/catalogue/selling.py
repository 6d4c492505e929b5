"""Which tenants' plans sell a price or product of the platform's own account: events about those name no tenant."""

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from colonnade.database.tables import plan_objects
from colonnade.stripe_api.charges import ChargeType, Payee
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import plans


async def note_sold(session: TenantSession, tenant: Payee) -> None:
    """Bring what is known of the tenant in line with its plans. On an account of its own, the account says it."""
    if tenant.charge_type is ChargeType.DIRECT:
        return
    sold = select(func.coalesce(plans.c.price, plans.c.product)).where(plans.c.tenant_id == TENANT)
    await session.execute(
        delete(plan_objects).where(plan_objects.c.tenant_id == TENANT, plan_objects.c.id.not_in(sold))
    )
    new = insert(plan_objects).from_select(["id", "tenant_id"], sold.add_columns(TENANT))
    await session.execute(new.on_conflict_do_nothing())

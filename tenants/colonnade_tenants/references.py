"""The tenant's own ids for customers that Stripe had before us."""

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants import customers as known
from colonnade_tenants import locks, values
from colonnade_tenants.entitlements import recompute
from colonnade_tenants.ids import new_id
from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.tables import customers

_RESERVE = Statement(
    insert(customers)
    .values(tenant_id=TENANT, public_id=bindparam("public_id"), reference=bindparam("reference"))
    .on_conflict_do_nothing(index_elements=["tenant_id", "reference"])
)
_RESERVED = Statement(
    select(customers.c.public_id).where(
        customers.c.tenant_id == TENANT, customers.c.reference == bindparam("reference")
    )
)


async def refer(tenant: TenantConnection, stripe_customer: str, reference: str) -> None:
    """Let *stripe_customer* be the customer with this reference. Harmless to repeat.

    Raises `Invalid`, and `Conflict` if either is another's already; then the transaction has to be undone.
    """
    values.reference(reference)
    await locks.read_catalogue(tenant)
    await tenant.execute(_RESERVE, public_id=new_id("ecu"), reference=reference)
    row = await tenant.fetch_one(_RESERVED, reference=reference)
    if row is not None:
        customer = await known.adopt(tenant, row["public_id"], stripe_customer)
        await recompute(tenant, customer, cause="import")  # it may have had overrides before Stripe's customer

"""The order in which transactions take locks, so that none waits in a circle: catalogue, customer, subscription.

Without the catalogue's lock, a plan's change and a new subscription to it could each miss the other, and the customer's
entitlements would stay wrong until the next event.
"""

from datetime import datetime

from sqlalchemy import func, select

from colonnade_tenants.partition import TENANT, Statement, TenantConnection

CATALOGUE = "colonnade catalogue"

_KEY = func.hashtextextended(CATALOGUE, TENANT)
_SHARE = Statement(select(func.pg_advisory_xact_lock_shared(_KEY)))
_OWN = Statement(select(func.pg_advisory_xact_lock(_KEY), func.clock_timestamp().label("now")))


async def read_catalogue(tenant: TenantConnection) -> None:
    """Keep features and plans as they are until the transaction ends."""
    if CATALOGUE not in tenant.held:
        await tenant.fetch(_SHARE)
        tenant.held.add(CATALOGUE)


async def change_catalogue(tenant: TenantConnection) -> datetime:
    """Be the only transaction of this tenant that reads or changes features and plans, until it ends; since when."""
    (row,) = await tenant.fetch(_OWN)
    tenant.held.add(CATALOGUE)
    now: datetime = row["now"]
    return now

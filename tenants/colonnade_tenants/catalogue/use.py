"""Who uses a feature: plans in effect or to come, and overrides that still hold."""

from datetime import datetime

from sqlalchemy import func, or_, select

from colonnade_tenants.catalogue.plan_versions import planned
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import entitlement_overrides


async def selling(session: TenantSession, feature: str, now: datetime) -> list[str]:
    """The keys of plans that grant it now or will, by key."""
    versions = await planned(session, now)
    return sorted({plan.key for plan in versions if any(grant.feature == feature for grant in plan.grants)})


async def overriding(session: TenantSession, feature: str) -> int:
    """How many customers have an override of it that has not ended."""
    table = entitlement_overrides.c
    found = select(func.count(table.customer_id.distinct())).where(
        table.tenant_id == TENANT,
        table.feature == feature,
        table.revoked_at.is_(None),
        or_(table.ends_at.is_(None), table.ends_at > func.now()),
    )
    count: int = (await session.execute(found)).scalar_one()
    return count

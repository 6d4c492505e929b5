"""The tenant's notifications in the order of their places, for the stream."""

from typing import NamedTuple

from sqlalchemy import func, select, text

from colonnade_tenants.notifications.publishing import PLACES
from colonnade_tenants.notifications.tables import notification_counters, notifications
from colonnade_tenants.partition import TENANT, Statement, TenantConnection

PAGE = 200


class Item(NamedTuple):
    """A notification at its place."""

    position: int
    type: str
    payload: str


_LAST = Statement(
    select(notification_counters.c.number).where(
        notification_counters.c.tenant_id == TENANT, notification_counters.c.subject == PLACES
    )
)
_OLDEST = Statement(select(func.min(notifications.c.position)).where(notifications.c.tenant_id == TENANT))
_AFTER = Statement(
    text(f"""
select position, type, payload from notifications
where tenant_id = :tenant and position > :after and endpoint is null order by position limit {PAGE}
""")  # noqa: S608 - only our own number is put in
)


async def last(tenant: TenantConnection) -> int:
    """The newest place; 0: nothing was ever published."""
    row = await tenant.fetch_one(_LAST)
    return row["number"] if row else 0


async def oldest(tenant: TenantConnection) -> int | None:
    """The first place that is still kept; None: none is."""
    rows = await tenant.fetch(_OLDEST)
    found: int | None = rows[0][0]
    return found


async def after(tenant: TenantConnection, position: int) -> list[Item]:
    """The next notifications after that place, at most `PAGE`."""
    return [Item(*row) for row in await tenant.fetch(_AFTER, after=position)]

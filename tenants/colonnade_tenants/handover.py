"""One customer row takes the place of another: what was decided for that one, and its history, pass to it."""

from typing import Any

from sqlalchemy import BigInteger, bindparam, delete, func, select, update

from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.tables import entitlement_changes, entitlement_overrides, entitlements

_OLD: Any = bindparam("old", type_=BigInteger)
_NEW: Any = bindparam("new", type_=BigInteger)
_LAST = (
    select(func.coalesce(func.max(entitlement_changes.c.sequence), 0))
    .where(entitlement_changes.c.tenant_id == TENANT, entitlement_changes.c.customer_id == _NEW)
    .scalar_subquery()
)


def _of_old(table: Any) -> tuple[Any, ...]:
    return table.c.tenant_id == TENANT, table.c.customer_id == _OLD


_FORGET = Statement(delete(entitlements).where(*_of_old(entitlements)))
_PASS = Statement(update(entitlement_overrides).where(*_of_old(entitlement_overrides)).values(customer_id=_NEW))
# Numbers count up as the rows were written; when something was believed, `recorded_at` says.
_RENUMBER = Statement(
    update(entitlement_changes)
    .where(*_of_old(entitlement_changes))
    .values(customer_id=_NEW, sequence=entitlement_changes.c.sequence + _LAST)
)


async def hand_over(tenant: TenantConnection, old: int, new: int) -> None:
    """Let *new* have what *old* had (internal ids). The caller recomputes it."""
    await tenant.execute(_FORGET, old=old)
    await tenant.execute(_PASS, old=old, new=new)
    await tenant.execute(_RENUMBER, old=old, new=new)

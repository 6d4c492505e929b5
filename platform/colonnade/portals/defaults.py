"""Which of a tenant's portal configurations is the default: there is one as soon as there are any."""

from colonnade.errors import Conflict
from colonnade.portals import store
from colonnade_tenants.partition import TenantSession


async def default_after(session: TenantSession, former: store.Row | None, wanted: bool | None) -> bool:
    """Whether it is the tenant's default after a write that says *wanted*. Raises `Conflict`: a tenant has one."""
    current = await store.default(session)
    if wanted is False and (current is None or (former is not None and current.name == former.name)):
        raise Conflict("A tenant has one default: make another configuration the default instead.", "default")
    if wanted is None:
        return current is None or (former is not None and former.is_default)
    return wanted

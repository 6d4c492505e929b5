"""The same at the command line."""

from collections.abc import Callable

from colonnade.access import audit
from colonnade.access.principals import COMMAND_LINE
from colonnade.accounts.service import tenant_by_id
from colonnade.accounts.states import check_writable
from colonnade.services import Services
from colonnade.stripe_entitlements.comparing import Comparison, compare
from colonnade.stripe_entitlements.service import TakeOver, take_over
from colonnade.stripe_entitlements.taking_over import Report
from colonnade_tenants import customers

_PAGE = 100


async def compare_all(
    services: Services,
    tenant: str,
    prefix: str,
    *,
    read: bool,
    show: Callable[[Comparison], None],
) -> int:
    """Compare all customers of *tenant* (`ten_…`) that Stripe has, showing those that differ; how many were looked at.

    Raises `NotFound`, Stripe's errors.
    """
    looked, after = 0, None
    current = await tenant_by_id(services, tenant)
    while True:
        async with services.database.tenant(current.id) as session:
            page = await customers.list_page(session, after, _PAGE)
        if not page:
            return looked
        after = page[-1].public_id
        for customer in page:
            if customer.stripe_customer is None:
                continue
            looked += 1
            found = await compare(services, current, customer, prefix=prefix, read=read)
            if found.differences:
                show(found)


async def take_over_now(services: Services, tenant: str, wanted: TakeOver) -> Report:
    """Raises what `take_over` raises, `NotFound` for an unknown tenant, and `Closed` for one that is frozen."""
    found = await tenant_by_id(services, tenant)
    check_writable(found)
    target = f"tenants/{tenant}/stripe-features"
    async with audit.acting(services.database, COMMAND_LINE, "features.taken_over", target, tenant_id=found.id):
        return await take_over(services, found, wanted, author=None, by_tenant=False)

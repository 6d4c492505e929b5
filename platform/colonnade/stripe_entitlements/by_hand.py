"""The same at the command line."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from colonnade.access.guard import Tenant
from colonnade.accounts.service import tenant_by_id
from colonnade.database.connections import Database
from colonnade.services import Services
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway
from colonnade.stripe_entitlements.comparing import Comparison, compare
from colonnade.stripe_entitlements.service import TakeOver, take_over
from colonnade.stripe_entitlements.taking_over import Report
from colonnade_tenants import customers

_PAGE = 100


async def compare_all(
    settings: Settings,
    database_url: str,
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
    async with _opened(settings, database_url, tenant) as (services, current):
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


async def take_over_now(settings: Settings, database_url: str, tenant: str, wanted: TakeOver) -> Report:
    """Raises what `take_over` raises, and `NotFound` for an unknown tenant."""
    async with _opened(settings, database_url, tenant) as (services, current):
        return await take_over(services, current, wanted, author=None, by_tenant=False)


@asynccontextmanager
async def _opened(settings: Settings, database_url: str, tenant: str) -> AsyncIterator[tuple[Services, Tenant]]:
    gateway = StripeGateway(settings)
    try:
        async with Database(database_url) as database:
            gateway.gate.use(database.platform_pool)
            services = Services(settings, "", database, gateway)
            yield services, await tenant_by_id(services, tenant)
    finally:
        await gateway.close()

"""Making it so: what a file says, tenant by tenant, through the services that the API uses."""

from contextlib import AbstractAsyncContextManager

from colonnade.access import audit
from colonnade.access.guard import Tenant
from colonnade.access.principals import COMMAND_LINE
from colonnade.accounts.service import tenant_by_id
from colonnade.as_code.document import Document, TenantText
from colonnade.as_code.planning import Step, in_order, plan, wanted
from colonnade.catalogue import recomputations
from colonnade.catalogue.selling import note_sold
from colonnade.portals import branding, configurations, policy
from colonnade.portals.writing import By
from colonnade.services import Services
from colonnade_tenants import catalogue


async def apply(services: Services, document: Document, author: str) -> list[Step]:
    """Apply *document*; what it did. Nothing of it is done if something in it is wrong.

    Raises what `plan` raises, and `StripeRefused`; of the steps before that, all are done, and may be repeated.
    """
    steps = await plan(services, document)
    for name in sorted(document.tenants):
        todo = {step.thing for step in steps if step.tenant == name and step.action != "none"}
        if todo:
            tenant = await tenant_by_id(services, name)
            await _tenant(services, tenant, document.tenants[name], todo, author)
    return steps


def _acting(services: Services, tenant: Tenant, action: str, path: str) -> AbstractAsyncContextManager[None]:
    """What is done within is logged as that of the route at *path*."""
    target = f"tenants/{tenant.public_id}/{path}"
    return audit.acting(services.database, COMMAND_LINE, action, target, tenant_id=tenant.id)


async def _tenant(services: Services, tenant: Tenant, text: TenantText, todo: set[str], author: str) -> None:
    await _catalogue(services, tenant, text, todo, author)
    if text.branding is not None and "branding" in todo:
        async with _acting(services, tenant, "branding.changed", "branding"):
            await branding.put(services, tenant, text.branding, None)
            await configurations.refresh(services, tenant)
    if text.portal.drift is not None and "portal policy" in todo:
        async with (
            _acting(services, tenant, "portal_policy.changed", "portal-policy"),
            services.database.tenant(tenant.id) as session,
        ):
            await policy.put(session, text.portal.drift, author)
    for name in in_order(text):
        if f"portal configuration {name}" in todo:
            async with _acting(services, tenant, "portal_configuration.changed", f"portal-configurations/{name}"):
                await configurations.put(services, tenant, name, wanted(text, name), by=By("file", author))


async def _catalogue(services: Services, tenant: Tenant, text: TenantText, todo: set[str], author: str) -> None:
    for key in sorted(text.features):
        if f"feature {key}" in todo:
            async with (
                _acting(services, tenant, "feature.changed", f"features/{key}"),
                services.database.tenant(tenant.id) as session,
            ):
                done = await catalogue.put_feature(session, text.features[key].feature(key), author)
                await recomputations.schedule(session, done.rest)
    for key in sorted(text.plans):
        if f"plan {key}" in todo:
            async with (
                _acting(services, tenant, "plan.changed", f"plans/{key}"),
                services.database.tenant(tenant.id) as session,
            ):
                put = await catalogue.put_plan(session, text.plans[key].plan(key), author=author)
                await note_sold(session, tenant)
                await recomputations.schedule(session, put.rest)

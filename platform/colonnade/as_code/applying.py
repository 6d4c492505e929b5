"""Making it so: what a file says, tenant by tenant, through the services that the API uses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
        todo = {step.thing: step for step in steps if step.tenant == name and step.action != "none"}
        if todo:
            tenant = await tenant_by_id(services, name)
            await _tenant(services, tenant, document.tenants[name], todo, author)
    return steps


@asynccontextmanager
async def _acting(services: Services, tenant: Tenant, action: str, path: str, step: Step) -> AsyncIterator[None]:
    """What is done within is logged as that of the route at *path*, with what was planned for *step*."""
    target = f"tenants/{tenant.public_id}/{path}"
    async with audit.acting(services.database, COMMAND_LINE, action, target, tenant_id=tenant.id):
        before = {each.field: each.before for each in step.changes} if step.action == "update" else None
        audit.note(before=before, after={each.field: each.after for each in step.changes})
        yield


async def _tenant(services: Services, tenant: Tenant, text: TenantText, todo: dict[str, Step], author: str) -> None:
    await _catalogue(services, tenant, text, todo, author)
    if text.branding is not None and (step := todo.get("branding")):
        async with _acting(services, tenant, "branding.changed", "branding", step):
            await branding.put(services, tenant, text.branding, None)
            await configurations.refresh(services, tenant)
    if text.portal.drift is not None and (step := todo.get("portal policy")):
        async with (
            _acting(services, tenant, "portal_policy.changed", "portal-policy", step),
            services.database.tenant(tenant.id) as session,
        ):
            await policy.put(session, text.portal.drift, author)
    for name in in_order(text):
        if step := todo.get(f"portal configuration {name}"):
            path = f"portal-configurations/{name}"
            async with _acting(services, tenant, "portal_configuration.changed", path, step):
                await configurations.put(services, tenant, name, wanted(text, name), by=By("file", author))


async def _catalogue(services: Services, tenant: Tenant, text: TenantText, todo: dict[str, Step], author: str) -> None:
    for key in sorted(text.features):
        if step := todo.get(f"feature {key}"):
            async with (
                _acting(services, tenant, "feature.changed", f"features/{key}", step),
                services.database.tenant(tenant.id) as session,
            ):
                done = await catalogue.put_feature(session, text.features[key].feature(key), author)
                await recomputations.schedule(session, done.rest)
    for key in sorted(text.plans):
        if step := todo.get(f"plan {key}"):
            async with (
                _acting(services, tenant, "plan.changed", f"plans/{key}", step),
                services.database.tenant(tenant.id) as session,
            ):
                put = await catalogue.put_plan(session, text.plans[key].plan(key), author=author)
                await note_sold(session, tenant)
                await recomputations.schedule(session, put.rest)

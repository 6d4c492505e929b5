"""The file that says what is so now."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import msgspec
from sqlalchemy import select

from colonnade.access.guard import Tenant
from colonnade.accounts import service
from colonnade.accounts.states import FROZEN
from colonnade.as_code.document import Document, FeatureText, PlanText, PortalText, TenantText
from colonnade.database.tables import branding
from colonnade.portals import policy, store
from colonnade.portals.branding import Branding
from colonnade.portals.configurations import PutConfiguration
from colonnade.services import Services
from colonnade_tenants import catalogue
from colonnade_tenants.catalogue import Feature, Plan
from colonnade_tenants.entitlements.model import RULES
from colonnade_tenants.partition import TENANT, TenantSession

_PAGE = 100


class _Keyed(Protocol):
    @property
    def key(self) -> str: ...


K = TypeVar("K", bound=_Keyed)


async def export(services: Services, tenants: Sequence[str]) -> Document:
    """The *tenants* (`ten_…`), or all that are not frozen: to those nothing is applied. Raises `NotFound`."""
    if tenants:
        found = [await service.tenant_by_id(services, each) for each in tenants]
    else:
        found = [tenant async for tenant in every_tenant(services) if tenant.state not in FROZEN]
    ordered = sorted(found, key=lambda tenant: tenant.public_id)
    return Document({tenant.public_id: await current(services, tenant) for tenant in ordered})


async def every_tenant(services: Services) -> AsyncIterator[Tenant]:
    """All tenants."""
    after: str | None = None
    while rows := await service.page(services, after, _PAGE):
        for row in rows:
            yield row
        after = rows[-1].public_id


async def current(services: Services, tenant: Tenant) -> TenantText:
    """What is so of *tenant*, in the file's words."""
    async with services.database.tenant(tenant.id) as session:
        features = await _all(session, catalogue.list_features)
        plans = await _all(session, catalogue.list_plans)
        portal = PortalText((await policy.get(session)).drift, await _configurations(session))
        return TenantText(
            branding=await brand(session),
            features={feature.key: feature_text(feature) for feature in features},
            plans={plan.key: plan_text(plan) for plan in plans},
            portal=portal,
        )


async def brand(session: TenantSession) -> Branding:
    """The branding, without what came of it."""
    found = await session.execute(select(branding.c.settings).where(branding.c.tenant_id == TENANT))
    settings = found.scalar_one_or_none() or {}
    return Branding(**{name: settings.get(name) for name in Branding.__struct_fields__})


def feature_text(feature: Feature) -> FeatureText:
    """*feature* in the file's words: how its kind combines anyhow is not said."""
    fields = {name: getattr(feature, name) for name in FeatureText.__struct_fields__}
    usual = RULES[feature.kind][0]
    return msgspec.convert(fields | {"combine": None if feature.combine == usual else feature.combine}, FeatureText)


def plan_text(plan: Plan) -> PlanText:
    """*plan* in the file's words, its grants by feature."""
    return PlanText(plan.name, plan.price, plan.product, sorted(plan.grants, key=lambda grant: grant.feature))


async def _all(session: TenantSession, page: Callable[[TenantSession, str | None, int], Awaitable[list[K]]]) -> list[K]:
    found: list[K] = []
    while rows := await page(session, found[-1].key if found else None, _PAGE):
        found += rows
    return found


async def _configurations(session: TenantSession) -> dict[str, PutConfiguration]:
    """Those that are active: the file says what shall be there."""
    found: dict[str, PutConfiguration] = {}
    after: str | None = None
    while rows := await store.page(session, after, _PAGE):
        after = rows[-1].name
        for row in rows:
            if row.active:
                settings = msgspec.structs.asdict(row.settings)
                found[row.name] = PutConfiguration(**settings, default=True if row.is_default else None)
    return found

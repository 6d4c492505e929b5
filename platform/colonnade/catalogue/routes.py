"""Routes of features and plans."""

from typing import Literal

from litestar import delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct, structs

from colonnade.access.guard import Tenant
from colonnade.catalogue.selling import note_sold
from colonnade.services import Services
from colonnade.web import After, Limit, Page, cursor, from_cursor
from colonnade_tenants import catalogue
from colonnade_tenants.catalogue import Feature, Grant, Plan

_FEATURES = "/tenants/{tenant:str}/features"
_PLANS = "/tenants/{tenant:str}/plans"


class PutFeature(Struct, forbid_unknown_fields=True):
    """*flag*: has it or not. *limit*: at most so many, the largest counts. *quantity*: so many, the sum counts."""

    kind: Literal["flag", "limit", "quantity"]
    name: str
    unit: str | None = None
    description: str | None = None


class PutPlan(Struct, forbid_unknown_fields=True):
    """Either *price* or *product*, by Stripe's ids, and what it grants."""

    name: str
    price: str | None = None
    product: str | None = None
    grants: list[Grant] = []


@get(_FEATURES, summary="A tenant's features, by key", tags=["Catalogue"])
async def list_features(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[Feature]:
    async with services.database.tenant(current.id) as session:
        found = await catalogue.list_features(session, from_cursor(after), limit + 1)
    return Page(found[:limit], cursor(found[limit - 1].key) if len(found) > limit else None)


@get(_FEATURES + "/{key:str}", summary="A feature", tags=["Catalogue"])
async def get_feature(
    key: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Feature:
    async with services.database.tenant(current.id) as session:
        return await catalogue.get_feature(session, key)


@put(_FEATURES + "/{key:str}", summary="Create or change a feature", tags=["Catalogue"])
async def put_feature(
    key: FromPath[str],
    data: JSONBody[PutFeature],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Feature:
    feature = Feature(key, **structs.asdict(data))
    async with services.database.tenant(current.id) as session:
        await catalogue.put_feature(session, feature)
    return feature


@delete(_FEATURES + "/{key:str}", summary="Delete a feature that no plan grants", tags=["Catalogue"])
async def delete_feature(
    key: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> None:
    async with services.database.tenant(current.id) as session:
        await catalogue.delete_feature(session, key)


@get(_PLANS, summary="A tenant's plans, by key", tags=["Catalogue"])
async def list_plans(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[Plan]:
    async with services.database.tenant(current.id) as session:
        found = await catalogue.list_plans(session, from_cursor(after), limit + 1)
    return Page(found[:limit], cursor(found[limit - 1].key) if len(found) > limit else None)


@get(_PLANS + "/{key:str}", summary="A plan", tags=["Catalogue"])
async def get_plan(key: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]) -> Plan:
    async with services.database.tenant(current.id) as session:
        return await catalogue.get_plan(session, key)


@put(_PLANS + "/{key:str}", summary="Create or change a plan, and what those who have it may use", tags=["Catalogue"])
async def put_plan(
    key: FromPath[str],
    data: JSONBody[PutPlan],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Plan:
    async with services.database.tenant(current.id) as session:
        await catalogue.put_plan(session, Plan(key, **structs.asdict(data)))
        await note_sold(session, current)
        return await catalogue.get_plan(session, key)


@delete(_PLANS + "/{key:str}", summary="Delete a plan, and take what it granted", tags=["Catalogue"])
async def delete_plan(
    key: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> None:
    async with services.database.tenant(current.id) as session:
        await catalogue.delete_plan(session, key)
        await note_sold(session, current)


ROUTES = (
    list_features,
    get_feature,
    put_feature,
    delete_feature,
    list_plans,
    get_plan,
    put_plan,
    delete_plan,
)

"""Routes of features and plans."""

from typing import Literal

from litestar import Response, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.catalogue import policy_routes, recomputations
from colonnade.catalogue.changing import changed, left, unchanged_since
from colonnade.catalogue.selling import note_sold
from colonnade.etags import IfMatch, tagged
from colonnade.services import Services
from colonnade.web import After, Limit, Page, as_it_is, from_cursor, page_of
from colonnade_tenants import catalogue
from colonnade_tenants.catalogue import Feature, Grant, Plan, PlanVersion
from colonnade_tenants.times import Moment

_FEATURES = "/tenants/{tenant:str}/features"
_PLANS = "/tenants/{tenant:str}/plans"


class PutFeature(Struct, forbid_unknown_fields=True):
    """*flag*: has it or not. *limit*: at most so many. *quantity*: so many.

    *combine* is what several grants give together: `or` for flags, `max` or `sum` for the others; by default the
    largest limit counts, and the sum of quantities. *fallback* is the value of who is granted none.
    """

    kind: Literal["flag", "limit", "quantity"]
    name: str
    unit: str | None = None
    description: str | None = None
    combine: Literal["or", "max", "sum"] | None = None
    fallback: bool | int = 0


class PutPlan(Struct, forbid_unknown_fields=True):
    """Either *price* or *product*, by Stripe's ids, and what it grants from *effective_from* on.

    By default that is now, and it is never earlier: what a plan granted before is not rewritten.
    """

    name: str
    price: str | None = None
    product: str | None = None
    grants: list[Grant] = []
    effective_from: Moment | None = None


@get(_FEATURES, summary="A tenant's features, by key", tags=["Catalogue"], opt=allow(Scope.READ, Scope.CATALOGUE))
async def list_features(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[Feature]:
    async with services.database.tenant(current.id) as session:
        found = await catalogue.list_features(session, from_cursor(after), limit + 1)
    return page_of(found, limit, lambda each: each.key, as_it_is)


@get(_FEATURES + "/{key:str}", summary="A feature", tags=["Catalogue"], opt=allow(Scope.READ, Scope.CATALOGUE))
async def get_feature(
    key: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Response[Feature]:
    async with services.database.tenant(current.id) as session:
        return tagged(await catalogue.get_feature(session, key))


@put(_FEATURES + "/{key:str}", summary="Create or change a feature", tags=["Catalogue"], opt=allow(Scope.CATALOGUE))
async def put_feature(
    principal: NamedDependency[Principal],
    key: FromPath[str],
    data: JSONBody[PutFeature],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[Feature]:
    feature = Feature(key, data.kind, data.name, data.unit, data.description, data.combine, data.fallback)
    async with services.database.tenant(current.id) as session:
        await unchanged_since(session, if_match, lambda: catalogue.get_feature(session, key))
        done = await catalogue.put_feature(session, feature, principal.id)
        left_over = await recomputations.schedule(session, done.rest)
        return changed(await catalogue.get_feature(session, key), left_over)


@delete(
    _FEATURES + "/{key:str}",
    summary="Delete a feature that no plan grants",
    tags=["Catalogue"],
    opt=allow(Scope.CATALOGUE),
)
async def delete_feature(
    key: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> None:
    async with services.database.tenant(current.id) as session:
        await unchanged_since(session, if_match, lambda: catalogue.get_feature(session, key))
        await catalogue.delete_feature(session, key)


@get(_PLANS, summary="A tenant's plans, by key", tags=["Catalogue"], opt=allow(Scope.READ, Scope.CATALOGUE))
async def list_plans(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[Plan]:
    async with services.database.tenant(current.id) as session:
        found = await catalogue.list_plans(session, from_cursor(after), limit + 1)
    return page_of(found, limit, lambda each: each.key, as_it_is)


@get(_PLANS + "/{key:str}", summary="A plan", tags=["Catalogue"], opt=allow(Scope.READ, Scope.CATALOGUE))
async def get_plan(
    key: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Response[Plan]:
    async with services.database.tenant(current.id) as session:
        return tagged(await catalogue.get_plan(session, key))


@get(
    _PLANS + "/{key:str}/versions",
    summary="All versions of a plan, the newest first",
    tags=["Catalogue"],
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def list_plan_versions(
    key: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Page[PlanVersion]:
    async with services.database.tenant(current.id) as session:
        return Page(await catalogue.list_plan_versions(session, key))


@put(
    _PLANS + "/{key:str}",
    summary="Create or change a plan, and what those who have it may use",
    tags=["Catalogue"],
    opt=allow(Scope.CATALOGUE),
)
async def put_plan(
    principal: NamedDependency[Principal],
    key: FromPath[str],
    data: JSONBody[PutPlan],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[Plan]:
    plan = Plan(key, data.name, data.price, data.product, data.grants)
    async with services.database.tenant(current.id) as session:
        await unchanged_since(session, if_match, lambda: catalogue.get_plan(session, key))
        done = await catalogue.put_plan(session, plan, effective_from=data.effective_from, author=principal.id)
        await note_sold(session, current)
        left_over = await recomputations.schedule(session, done.rest)
        return changed(await catalogue.get_plan(session, key), left_over)


@delete(
    _PLANS + "/{key:str}",
    summary="Delete a plan, and take what it granted",
    tags=["Catalogue"],
    opt=allow(Scope.CATALOGUE),
)
async def delete_plan(
    principal: NamedDependency[Principal],
    key: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[None]:
    async with services.database.tenant(current.id) as session:
        await unchanged_since(session, if_match, lambda: catalogue.get_plan(session, key))
        rest = await catalogue.delete_plan(session, key, principal.id)
        await note_sold(session, current)
        return Response(None, headers=left(await recomputations.schedule(session, rest)))


ROUTES = (
    list_features,
    get_feature,
    put_feature,
    delete_feature,
    list_plans,
    get_plan,
    list_plan_versions,
    put_plan,
    delete_plan,
    *policy_routes.ROUTES,
)

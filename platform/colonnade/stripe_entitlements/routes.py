"""Routes that set Stripe Entitlements beside ours."""

from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.services import Services
from colonnade.stripe_entitlements import service
from colonnade.stripe_entitlements.comparing import Comparison, compare, compare_customer
from colonnade.stripe_entitlements.service import TakeOver
from colonnade.stripe_entitlements.taking_over import Report
from colonnade.web import After, Limit, Page, as_it_is, from_cursor, page_of
from colonnade_tenants import customers

_TENANT = "/tenants/{tenant:str}"
_TAGS = ["Stripe Entitlements"]

Prefix = Annotated[
    str, QueryParameter(max_length=80, description="What this tenant's lookup keys begin with; our keys leave it out.")
]


@get(
    _TENANT + "/customers/{reference:str}/stripe-entitlements",
    summary="Where Stripe's active entitlements of a customer and ours differ",
    tags=_TAGS,
    opt=allow(Scope.READ, Scope.CUSTOMERS),
)
async def compare_entitlements(
    reference: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    prefix: Prefix = "",
    read: Annotated[bool, QueryParameter(description="Ask Stripe now, instead of the last summary heard.")] = False,
) -> Comparison:
    return await compare_customer(services, current, reference, prefix=prefix, read=read)


@get(
    _TENANT + "/stripe-entitlements",
    summary="Customers for whom Stripe's last summary and ours differ, the oldest first",
    description="Each page looks at *limit* customers, and has those that differ: go on until *next* is null.",
    tags=_TAGS,
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def list_differences(
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    prefix: Prefix = "",
    limit: Limit = 20,
    after: After = None,
) -> Page[Comparison]:
    async with services.database.tenant(current.id) as session:
        found = await customers.list_page(session, from_cursor(after), limit + 1)
    compared = [await compare(services, current, each, prefix=prefix, read=False) for each in found[:limit]]
    following = page_of(found, limit, lambda each: each.public_id, as_it_is).next
    return Page([each for each in compared if each.differences], following)


@post(
    _TENANT + "/stripe-features",
    summary="Take over features of products at Stripe as flags and plans; by default only say what that would do",
    tags=_TAGS,
    status_code=200,
    opt=allow(Scope.CATALOGUE),
)
async def take_over_features(
    principal: NamedDependency[Principal],
    data: JSONBody[TakeOver],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Report:
    by_tenant = principal.tenant_id is not None
    return await service.take_over(services, current, data, author=principal.id, by_tenant=by_tenant)


ROUTES = (compare_entitlements, list_differences, take_over_features)

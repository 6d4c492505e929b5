"""Routes of a tenant's policy, and of changes on their way through its customers."""

from typing import Annotated, Literal

from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.catalogue import recomputations
from colonnade.catalogue.changing import changed, unchanged_since
from colonnade.catalogue.recomputations import Recomputation
from colonnade.etags import IfMatch, tagged
from colonnade.services import Services
from colonnade.web import After, Limit, Page, as_it_is, from_cursor, page_of
from colonnade_tenants import catalogue
from colonnade_tenants.catalogue import Policy
from colonnade_tenants.times import Moment

_POLICY = "/tenants/{tenant:str}/policy"
_RECOMPUTATIONS = "/tenants/{tenant:str}/recomputations"


class PutPolicy(Struct, forbid_unknown_fields=True):
    """What Stripe's statuses mean for access, from *effective_from* on (default: now; never earlier).

    *grace*: days for which `past_due` goes on granting, counted from when it began and by the policy of that moment; or
    `until_stripe_gives_up`. *trials*: whether `trialing` grants. *pause_collection*: whether a subscription whose
    collection is paused `grants` or `suspends`.
    """

    grace: Annotated[int, Meta(ge=0, le=365)] | Literal["until_stripe_gives_up"] = 7
    trials: bool = True
    pause_collection: Literal["grants", "suspends"] = "grants"
    effective_from: Moment | None = None


@get(_POLICY, summary="A tenant's policy, as put last", tags=["Catalogue"], opt=allow(Scope.READ, Scope.CATALOGUE))
async def get_policy(services: NamedDependency[Services], current: NamedDependency[Tenant]) -> Response[Policy]:
    async with services.database.tenant(current.id) as session:
        return tagged(await catalogue.get_policy(session))


@get(
    _POLICY + "/versions",
    summary="All versions of a tenant's policy, the newest first",
    tags=["Catalogue"],
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def list_policy_versions(services: NamedDependency[Services], current: NamedDependency[Tenant]) -> Page[Policy]:
    async with services.database.tenant(current.id) as session:
        return Page(await catalogue.list_policies(session))


@put(
    _POLICY,
    summary="Change a tenant's policy from now, or from a later moment",
    tags=["Catalogue"],
    opt=allow(Scope.CATALOGUE),
)
async def put_policy(
    principal: NamedDependency[Principal],
    data: JSONBody[PutPolicy],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[Policy]:
    policy = Policy(data.grace, data.trials, data.pause_collection, effective_from=data.effective_from)
    async with services.database.tenant(current.id) as session:
        await unchanged_since(session, if_match, lambda: catalogue.get_policy(session))
        put = await catalogue.put_policy(session, policy, principal.id)
        return changed(put.policy, await recomputations.schedule(session, put.rest))


@get(
    _RECOMPUTATIONS,
    summary="Changes on their way through a tenant's customers, newest first",
    tags=["Catalogue"],
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def list_recomputations(
    services: NamedDependency[Services], current: NamedDependency[Tenant], limit: Limit = 20, after: After = None
) -> Page[Recomputation]:
    async with services.database.tenant(current.id) as session:
        found = await recomputations.list_page(session, from_cursor(after), limit + 1)
    return page_of(found, limit, lambda each: each.id, as_it_is)


@get(
    _RECOMPUTATIONS + "/{recomputation:str}",
    summary="How far a change has come",
    tags=["Catalogue"],
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def get_recomputation(
    recomputation: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Recomputation:
    async with services.database.tenant(current.id) as session:
        return await recomputations.get(session, recomputation)


ROUTES = (get_policy, list_policy_versions, put_policy, list_recomputations, get_recomputation)

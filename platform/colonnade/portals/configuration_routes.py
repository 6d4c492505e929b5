"""Routes of portal configurations: what is wanted, and how it came to be so."""

from collections.abc import Sequence
from typing import Annotated

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, Struct
from msgspec.structs import replace

from colonnade.access import audit
from colonnade.access.actors import Tell, Told
from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import Scope, allow
from colonnade.etags import IfMatch
from colonnade.portals import configurations, planning, policy, store, versions
from colonnade.portals.configurations import PortalConfiguration, PutConfiguration
from colonnade.portals.current_prices import Caution
from colonnade.portals.planning import Diff, Plan
from colonnade.portals.policy import PortalPolicy, PutPortalPolicy
from colonnade.portals.versions import Version
from colonnade.portals.writing import By
from colonnade.services import Services
from colonnade.web import After, Limit, Page, from_cursor, number_from_cursor, page_of

CONFIGURATIONS = "/tenants/{tenant:str}/portal-configurations"
ONE = CONFIGURATIONS + "/{name:str}"
_POLICY = "/tenants/{tenant:str}/portal-policy"

Number = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Strict = Annotated[bool, QueryParameter(description="Refuse what would only be warned of.")]
VersionQuery = Annotated[int | None, QueryParameter(ge=0, le=2**31 - 1, description="0: before anything was written.")]


class Rollback(Struct, frozen=True, forbid_unknown_fields=True):
    """*version*: whose settings shall hold again."""

    version: Number


async def answer(row: store.Row, told: Told, warnings: Sequence[Caution] = ()) -> Response[PortalConfiguration]:
    """The configuration with its `ETag`."""
    shown = configurations.shown(row, await _resolvers([row], told), warnings)
    return Response(shown, headers={"ETag": configurations.tag(row)})


async def _resolvers(rows: Sequence[store.Row], told: Told) -> Tell:
    return await told.of(row.drift.resolved_by for row in rows if row.drift)


async def _policy(found: PortalPolicy, told: Told) -> Response[PortalPolicy]:
    tell = await told.of([found.author])
    return Response(replace(found, author=tell(found.author)), headers={"ETag": policy.tag(found)})


@get(
    CONFIGURATIONS,
    summary="A tenant's portal configurations, by name",
    tags=["Portals"],
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def list_portal_configurations(
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    limit: Limit = 20,
    after: After = None,
) -> Page[PortalConfiguration]:
    async with services.database.tenant(current.id) as session:
        rows = await store.page(session, from_cursor(after), limit + 1)
    tell = await _resolvers(rows, told)
    return page_of(rows, limit, lambda each: each.name, lambda each: configurations.shown(each, tell))


@get(ONE, summary="A portal configuration", tags=["Portals"], opt=allow(Scope.READ, Scope.CATALOGUE))
async def get_portal_configuration(
    name: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
) -> Response[PortalConfiguration]:
    async with services.database.tenant(current.id) as session:
        row = await store.get(session, name)
    return await answer(row, told)


@put(ONE, summary="Create or change a portal configuration", tags=["Portals"], opt=allow(Scope.CATALOGUE))
async def put_portal_configuration(
    principal: NamedDependency[Principal],
    name: FromPath[str],
    data: JSONBody[PutConfiguration],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    if_match: IfMatch = None,
    strict: Strict = False,
) -> Response[PortalConfiguration]:
    by = By("put", principal.id)
    row, warnings = await configurations.put(services, current, name, data, if_match, by, strict=strict)
    return await answer(row, told, warnings)


@post(
    ONE + "/plan",
    summary="What a PUT of this would change at Stripe",
    tags=["Portals"],
    status_code=200,
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def plan_portal_configuration(
    name: FromPath[str],
    data: JSONBody[PutConfiguration],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Plan:
    return await planning.plan(services, current, name, data)


@get(
    ONE + "/versions",
    summary="Versions of a portal configuration, the newest first",
    tags=["Portals"],
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def list_portal_configuration_versions(
    name: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    limit: Limit = 20,
    after: After = None,
) -> Page[Version]:
    async with services.database.tenant(current.id) as session:
        await store.get(session, name)
        found = await versions.page(session, name, number_from_cursor(after, digits=9), limit + 1)
    tell = await told.of(each.author for each in found)
    return page_of(found, limit, lambda each: each.version, lambda each: replace(each, author=tell(each.author)))


@get(
    ONE + "/diff", summary="What differs between two versions", tags=["Portals"], opt=allow(Scope.READ, Scope.CATALOGUE)
)
async def diff_portal_configuration(
    name: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    before: VersionQuery = None,
    after: VersionQuery = None,
) -> Diff:
    return await planning.diff(services, current, name, before, after)


@post(
    ONE + "/apply",
    summary="Give Stripe what it does not have yet",
    tags=["Portals"],
    status_code=200,
    opt=allow(Scope.CATALOGUE),
)
async def apply_portal_configuration(
    principal: NamedDependency[Principal],
    name: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    if_match: IfMatch = None,
) -> Response[PortalConfiguration]:
    return await answer(await configurations.apply(services, current, name, if_match, principal.id), told)


@post(
    ONE + "/rollback",
    summary="Let an earlier version hold again",
    tags=["Portals"],
    status_code=200,
    opt=allow(Scope.CATALOGUE),
)
async def roll_back_portal_configuration(
    principal: NamedDependency[Principal],
    name: FromPath[str],
    data: JSONBody[Rollback],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    if_match: IfMatch = None,
) -> Response[PortalConfiguration]:
    return await answer(
        await configurations.rollback(services, current, name, data.version, if_match, principal.id), told
    )


@post(
    ONE + "/deactivate",
    summary="Let no session use it any more",
    tags=["Portals"],
    status_code=200,
    opt=allow(Scope.CATALOGUE),
)
async def deactivate_portal_configuration(
    principal: NamedDependency[Principal],
    name: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    if_match: IfMatch = None,
) -> Response[PortalConfiguration]:
    return await answer(await configurations.deactivate(services, current, name, if_match, principal.id), told)


@post(
    ONE + "/check",
    summary="Compare with what Stripe has, now",
    tags=["Portals"],
    status_code=200,
    opt=allow(Scope.CATALOGUE),
)
async def check_portal_configuration(
    name: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
) -> Response[PortalConfiguration]:
    return await answer(await configurations.check(services, current, name), told)


@post(
    ONE + "/adopt",
    summary="Make what Stripe has the newest version",
    tags=["Portals"],
    status_code=200,
    opt=allow(Scope.CATALOGUE),
)
async def adopt_portal_configuration(
    principal: NamedDependency[Principal],
    name: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    if_match: IfMatch = None,
) -> Response[PortalConfiguration]:
    return await answer(await configurations.adopt(services, current, name, if_match, principal.id), told)


@post(
    ONE + "/revert",
    summary="Undo what others changed at Stripe",
    tags=["Portals"],
    status_code=200,
    opt=allow(Scope.CATALOGUE),
)
async def revert_portal_configuration(
    principal: NamedDependency[Principal],
    name: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    if_match: IfMatch = None,
) -> Response[PortalConfiguration]:
    return await answer(await configurations.revert(services, current, name, if_match, principal.id), told)


@get(_POLICY, summary="What is done about edits at Stripe", tags=["Portals"], opt=allow(Scope.READ, Scope.CATALOGUE))
async def get_portal_policy(
    services: NamedDependency[Services], current: NamedDependency[Tenant], told: NamedDependency[Told]
) -> Response[PortalPolicy]:
    async with services.database.tenant(current.id) as session:
        found = await policy.get(session)
    return await _policy(found, told)


@put(_POLICY, summary="Say what is done about edits at Stripe", tags=["Portals"], opt=allow(Scope.CATALOGUE))
async def put_portal_policy(
    principal: NamedDependency[Principal],
    data: JSONBody[PutPortalPolicy],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    if_match: IfMatch = None,
) -> Response[PortalPolicy]:
    async with services.database.tenant(current.id) as session:
        audit.note(before=audit.named(await policy.get(session), "drift"), after=audit.named(data, "drift"))
        found = await policy.put(session, data.drift, principal.id, if_match)
    return await _policy(found, told)


ROUTES = (
    list_portal_configurations,
    get_portal_configuration,
    put_portal_configuration,
    plan_portal_configuration,
    list_portal_configuration_versions,
    diff_portal_configuration,
    apply_portal_configuration,
    roll_back_portal_configuration,
    deactivate_portal_configuration,
    check_portal_configuration,
    adopt_portal_configuration,
    revert_portal_configuration,
    get_portal_policy,
    put_portal_policy,
)

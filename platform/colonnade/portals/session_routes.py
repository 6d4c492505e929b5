"""Routes by which a tenant's backend opens the portal for its customers, and sees what came of it."""

from datetime import UTC, datetime
from typing import Any

from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct, to_builtins

from colonnade.access import audit, portal_tokens
from colonnade.access.actors import Tell, Told
from colonnade.access.guard import Principal, Tenant
from colonnade.access.scopes import ALLOWED, Scope, allow
from colonnade.errors import Invalid
from colonnade.etags import IfMatch, tagged
from colonnade.portals import activity, choosing, judging
from colonnade.portals.choosing import Rules, RulesView
from colonnade.portals.judging import Preview
from colonnade.portals.openings import chosen_for, prepare
from colonnade.portals.requests import SessionRequest
from colonnade.portals.sessions import PortalSession, open_session
from colonnade.portals.visiting import Opener
from colonnade.services import Services
from colonnade.web import After, IdempotencyKey, Limit, Page, aware_time, cursor, from_cursor, origin
from colonnade_tenants import customers
from colonnade_tenants.portal import visits
from colonnade_tenants.portal.visits import Outcome, Visit

_CUSTOMER = "/tenants/{tenant:str}/customers/{reference:str}"
_RULES = "/tenants/{tenant:str}/portal-rules"
_PRIVATE = {"Cache-Control": "no-store"}
_TAGS = ["Portals"]


class TokenRequest(SessionRequest, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """*origin*: of the page whose form posts the token; left out: any of the tenant's return_origins."""

    origin: str | None = None


class IssuedToken(Struct):
    """Post *token* to `/portal` from a form on your page, once and before *expires_at*."""

    token: str
    expires_at: datetime


class VisitView(Struct):
    """Who opened the portal for the customer, how, and what came of it; never the session's URL.

    *opened_by*: an API key, or `browser`; null, to the tenant: the platform team.
    """

    id: str
    configuration: str
    chosen_by: str
    rule: dict[str, Any] | None
    flow: str | None
    subscription: str | None
    left_out: str | None
    locale: str | None
    opened_by: str | None
    origin: str | None
    session: str | None
    return_url: str
    created_at: datetime | None
    completed_at: datetime | None
    returned_at: datetime | None
    settled_at: datetime | None
    outcome: Outcome | None


_OPEN = allow(Scope.PORTALS, remembered=True)
ENOUGH: frozenset[str] = _OPEN[ALLOWED]
"""What is enough to open a portal session."""


@post(f"{_CUSTOMER}/portal-sessions", summary="Open a portal session", tags=_TAGS, opt=_OPEN)
async def create_portal_session(
    reference: FromPath[str],
    data: JSONBody[SessionRequest],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> Response[PortalSession]:
    opener = Opener(principal.id, once=idempotency_key)
    return Response(await open_session(services, current, reference, data, opener), headers=_PRIVATE)


@post(
    f"{_CUSTOMER}/portal-sessions/preview",
    summary="What a portal session would lead to: nothing is opened",
    tags=_TAGS,
    status_code=200,
    opt=allow(Scope.READ, Scope.PORTALS),
)
async def preview_portal_session(
    reference: FromPath[str],
    data: JSONBody[SessionRequest],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Preview:
    choice, _ = await chosen_for(services, current, reference, data)
    return await judging.preview(services, current, choice.customer, choice.chosen, data.flow)


@get(
    f"{_CUSTOMER}/portal-sessions",
    summary="A customer's portal sessions, newest first",
    tags=_TAGS,
    opt=allow(Scope.READ, Scope.PORTALS),
)
async def list_portal_sessions(
    reference: FromPath[str],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    told: NamedDependency[Told],
    limit: Limit = 20,
    after: After = None,
) -> Page[VisitView]:
    async with services.database.tenant(current.id) as session:
        customer = await customers.get(session, reference)
    await services.database.later.written()
    async with services.database.tenant_connection(current.id) as connection:
        found = await visits.page(connection, customer.id, _place(after), limit + 1)
    following = found[limit - 1].created_at if len(found) > limit else None
    tell = await told.of(visit.opened_by for visit in found)
    return Page([_shown(visit, tell) for visit in found[:limit]], cursor(following.isoformat()) if following else None)


@post(
    f"{_CUSTOMER}/portal-tokens",
    summary="A token that opens the portal from a form, once",
    tags=_TAGS,
    opt=allow(Scope.PORTALS),
)
async def create_portal_token(
    reference: FromPath[str],
    data: JSONBody[TokenRequest],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Response[IssuedToken]:
    page = None if data.origin is None else origin(data.origin, "origin")
    if page is not None and page not in current.return_origins:
        raise Invalid(f"{page} is not one of this tenant's return_origins.", "origin")
    opening = await prepare(services, current, reference, data)
    await activity.check_known(services, current, opening.chosen)
    session = {name: value for name, value in to_builtins(data).items() if name != "origin"}
    token = portal_tokens.PortalToken(current.public_id, reference, session, page)
    text, expires = portal_tokens.issue(token, services.secret_key)
    return Response(IssuedToken(text, datetime.fromtimestamp(expires, UTC)), headers=_PRIVATE)


@get(
    _RULES,
    summary="The rules that choose a customer's portal configuration",
    tags=_TAGS,
    opt=allow(Scope.READ, Scope.CATALOGUE),
)
async def get_portal_rules(
    services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Response[RulesView]:
    async with services.database.tenant(current.id) as session:
        return tagged(await choosing.get(session))


@put(
    _RULES,
    summary="Set the rules that choose a customer's portal configuration",
    tags=_TAGS,
    opt=allow(Scope.CATALOGUE),
)
async def put_portal_rules(
    data: JSONBody[Rules],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    if_match: IfMatch = None,
) -> Response[RulesView]:
    async with services.database.tenant(current.id) as session:
        audit.note(before=audit.named(await choosing.get(session), "rules"), after=audit.named(data, "rules"))
        shown = await choosing.put(session, data, if_match)
    return tagged(shown)


def _shown(visit: Visit, tell: Tell) -> VisitView:
    fields = {name: getattr(visit, name) for name in VisitView.__struct_fields__}
    return VisitView(**fields | {"opened_by": tell(visit.opened_by)})


def _place(after: str | None) -> datetime | None:
    try:
        return aware_time(text) if (text := from_cursor(after)) else None
    except ValueError as error:
        raise Invalid("This is not the `next` of a page.", "after") from error


ROUTES = (
    create_portal_session,
    preview_portal_session,
    list_portal_sessions,
    create_portal_token,
    get_portal_rules,
    put_portal_rules,
)

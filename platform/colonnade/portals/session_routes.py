"""Routes by which a tenant's backend opens the portal for one of its customers."""

from datetime import UTC, datetime

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct, to_builtins

from colonnade.access import portal_tokens
from colonnade.access.guard import Tenant
from colonnade.portals.sessions import PortalSession, SessionRequest, open_session, prepare
from colonnade.services import Services
from colonnade.web import IdempotencyKey

_CUSTOMER = "/tenants/{tenant:str}/customers/{reference:str}"
_PRIVATE = {"Cache-Control": "no-store"}


class IssuedToken(Struct):
    """Post *token* to `/portal` from a form on your page, before *expires_at*."""

    token: str
    expires_at: datetime


@post(f"{_CUSTOMER}/portal-sessions", summary="Open a portal session", tags=["Portals"])
async def create_portal_session(
    reference: FromPath[str],
    data: JSONBody[SessionRequest],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    idempotency_key: IdempotencyKey = None,
) -> Response[PortalSession]:
    opening = await prepare(services, current, reference, data)
    session = await open_session(services, current, opening, idempotency_key)
    return Response(session, headers=_PRIVATE)


@post(f"{_CUSTOMER}/portal-tokens", summary="A token that opens the portal from a form", tags=["Portals"])
async def create_portal_token(
    reference: FromPath[str],
    data: JSONBody[SessionRequest],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Response[IssuedToken]:
    await prepare(services, current, reference, data)
    token = portal_tokens.PortalToken(current.public_id, reference, to_builtins(data))
    text, expires = portal_tokens.issue(token, services.secret_key)
    return Response(IssuedToken(text, datetime.fromtimestamp(expires, UTC)), headers=_PRIVATE)


ROUTES = (create_portal_session, create_portal_token)

"""Routes of onboarding: links and sessions for the business, and the public URLs that its browser goes through."""

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Redirect
from msgspec import Struct

from colonnade.access.guard import WHILE_FROZEN, Principal, Tenant
from colonnade.access.scopes import Role, Scope, allow
from colonnade.accounts import connections, entrances, oauth, onboarding, service
from colonnade.errors import DomainError, StripeRefused, Unavailable
from colonnade.portals import pages
from colonnade.problems import EXCEPTION_HANDLERS
from colonnade.services import Services
from colonnade.web import IdempotencyKey

_TENANT = "/tenants/{tenant:str}"
_TAGS = ["Onboarding"]
_UNKEPT = {"Cache-Control": "no-store"}


class OnboardingLink(Struct):
    """A link of ours that opens Stripe's onboarding; it may be e-mailed."""

    url: str
    expires_at: datetime


@post(_TENANT + "/onboarding-links", summary="A link to Stripe's onboarding", tags=_TAGS, opt=allow(Role.SUPPORT))
async def create_onboarding_link(
    data: JSONBody[onboarding.OnboardingRequest],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> OnboardingLink:
    url, expires = await onboarding.link(services, current, data)
    return OnboardingLink(url, datetime.fromtimestamp(expires, UTC))


@post(_TENANT + "/account-sessions", summary="A session for Stripe's embedded components", tags=_TAGS)
async def create_account_session(
    data: JSONBody[entrances.AccountSessionRequest],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
) -> Response[entrances.AccountSession]:
    return Response(await entrances.open_session(services, current, data), headers=_UNKEPT)


@post(_TENANT + "/login-links", summary="A link into the Express Dashboard", tags=_TAGS)
async def create_login_link(
    services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> Response[entrances.LoginLink]:
    return Response(await entrances.login_link(services, current), headers=_UNKEPT)


@post(
    _TENANT + "/account-connections",
    summary="A link that connects an existing account by OAuth",
    tags=_TAGS,
    opt={WHILE_FROZEN: True},  # who disconnected comes back by it
)
async def create_account_connection(
    data: JSONBody[connections.ConnectionRequest],
    services: NamedDependency[Services],
    current: NamedDependency[Tenant],
    principal: NamedDependency[Principal],
    idempotency_key: IdempotencyKey = None,
) -> connections.StartedConnection:
    return await connections.start(services, current, data, principal, idempotency_key)


@get(_TENANT + "/account-connections/{connection:str}", summary="What became of it", tags=_TAGS, opt=allow(Scope.READ))
async def get_account_connection(
    connection: FromPath[str], services: NamedDependency[Services], current: NamedDependency[Tenant]
) -> connections.Connection:
    return await connections.get(services, current, connection)


def page_of_error(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    """The error's answer, for people."""
    handler = next(EXCEPTION_HANDLERS[base] for base in type(error).__mro__ if base in EXCEPTION_HANDLERS)
    problem = handler(request, error)
    status = problem.status_code or 500
    later = status >= 500
    ours = isinstance(error, DomainError) and not isinstance(error, Unavailable | StripeRefused)
    said = str(error) if ours else ""
    text = "Try again in a moment." if later else said or "Ask whoever sent you the link for a new one."
    title = "This is not possible right now" if later else "This link does not work"
    headers = {name: value for name, value in problem.headers.items() if name.lower() in {"retry-after", "allow"}}
    return pages.message(title, text, status, headers)


_FOR_PEOPLE: dict[Any, Any] = {DomainError: page_of_error, HTTPException: page_of_error, Exception: page_of_error}
_PUBLIC: dict[str, Any] = {"tags": _TAGS, "security": [{}], "exception_handlers": _FOR_PEOPLE}


@get("/onboarding/{token:str}", summary="Go to Stripe's onboarding", status_code=303, **_PUBLIC)
async def follow_onboarding_link(token: FromPath[str], services: NamedDependency[Services]) -> Redirect:
    return Redirect(await onboarding.follow(services, token), status_code=303, headers=_UNKEPT)


@get(
    "/onboarding/{token:str}/return", summary="Come back from Stripe's onboarding", media_type=MediaType.HTML, **_PUBLIC
)
async def return_from_onboarding(token: FromPath[str], services: NamedDependency[Services]) -> Response[Any]:
    url = await onboarding.returned(services, token)
    if url is not None:
        return Redirect(url, status_code=303, headers=_UNKEPT)
    text = "Stripe has what you gave. If it asks for more, open the same link again."
    return pages.message("You may close this page", text, 200)


@get("/connect/{token:str}", summary="Go to Stripe to connect an existing account", status_code=303, **_PUBLIC)
async def open_account_connection(
    token: FromPath[str], services: NamedDependency[Services], request: Request[Any, Any, Any]
) -> Redirect:
    asked = await connections.opened(services, token)
    tenant = await service.tenant_by_id(services, asked.tenant)
    departure = oauth.depart(services, asked, tenant.name, request.cookies.get(oauth.cookie_of(asked.id)))
    cookie = Cookie(
        key=departure.cookie,
        value=departure.secret,
        path="/connect",
        max_age=oauth.LIFETIME,
        httponly=True,
        secure=services.settings.base_url.startswith("https://"),
        samesite="lax",  # Stripe sends the browser back from another site
    )
    return Redirect(departure.url, status_code=303, headers=_UNKEPT, cookies=[cookie])


_Text = Annotated[str, QueryParameter(max_length=4000)]
_DONE = {
    "connected": ("The account is connected", "You may close this page."),
    "denied": ("The account is not connected", "You did not agree, and nothing was changed. The link still works."),
    "failed": ("The account is not connected", "Open the link again; if it happens again, ask who sent it to you."),
}


@get(oauth.CALLBACK, summary="Come back from Stripe's consent page", media_type=MediaType.HTML, **_PUBLIC)
async def finish_account_connection(
    services: NamedDependency[Services],
    request: Request[Any, Any, Any],
    oauth_state: Annotated[str, QueryParameter(name="state", max_length=4000)] = "",
    code: _Text = "",
    error: _Text = "",
) -> Response[Any]:
    found = await oauth.arrive(services, oauth.Answer(oauth_state, code, error), request.cookies)
    tenant = await service.tenant_by_id(services, found.tenant)
    return_url = onboarding.still_allowed(services, tenant, found.return_url)
    if return_url is None:
        return pages.message(*_DONE[found.state], 200)
    parts = urlsplit(return_url)
    result = urlencode({"connection": found.id, "result": found.state})
    url = parts._replace(query=f"{parts.query}&{result}" if parts.query else result).geturl()
    return Redirect(url, status_code=303, headers=_UNKEPT)


ROUTES = (
    create_onboarding_link,
    create_account_session,
    create_login_link,
    create_account_connection,
    get_account_connection,
)
PUBLIC_ROUTES = (
    follow_onboarding_link,
    return_from_onboarding,
    open_account_connection,
    finish_account_connection,
)

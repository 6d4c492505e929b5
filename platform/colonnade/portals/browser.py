"""From the button on a tenant's page into the portal: a form posts a token, and the browser is sent on to Stripe.

The token is posted so that it stands in no URL, history or log; it counts only from a page of the tenant's, so that no
other site can send a visitor into somebody's portal. Whatever goes wrong is answered with a page for people.
"""

import hashlib
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from msgspec import Struct, convert

from colonnade.access import portal_tokens
from colonnade.access.guard import Tenant
from colonnade.access.portal_tokens import PortalToken
from colonnade.accounts.service import tenant_by_id
from colonnade.errors import Closed, DomainError, Forbidden
from colonnade.portals import pages
from colonnade.portals.requests import SessionRequest
from colonnade.portals.sessions import open_session
from colonnade.portals.visiting import Opener
from colonnade.problems import problem_of
from colonnade.services import Services

_WORDS = {
    401: ("This link has expired", "Go back to the page you came from and open it again."),
    409: ("This is not possible right now", "Go back to the page you came from; its support can help."),
    429: ("That was a little too often", "Wait a minute, go back to the page you came from and open it again."),
}
_CLOSED = ("Billing is closed for now", "It can not be changed here at present. The shop's support can tell you more.")
_LATER = ("Billing is not available right now", "Go back and try again in a moment.")
_BROKEN = ("This link does not work", "Go back to the page you came from; if it happens again, contact its support.")


class PortalForm(Struct):
    """What the button's form posts."""

    token: str


def page_of_error(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    """The error's answer, for people."""
    problem = problem_of(request, error)
    status = problem.status_code or 500
    words = _CLOSED if isinstance(error, Closed) else _WORDS.get(status)
    title, advice = words or (_LATER if status >= 500 else _BROKEN)
    headers = {name: value for name, value in problem.headers.items() if name.lower() in {"retry-after", "allow"}}
    return pages.message(title, advice, status, headers)


FOR_PEOPLE: dict[Any, Any] = {DomainError: page_of_error, HTTPException: page_of_error, Exception: page_of_error}


@post(
    "/portal",
    summary="Open the portal from a form in the customer's browser",
    tags=["Portals"],
    status_code=303,
    security=[{}],
    exception_handlers=FOR_PEOPLE,
)
async def open_portal(
    data: URLEncodedBody[PortalForm], services: NamedDependency[Services], request: Request[Any, Any, Any]
) -> Redirect:
    token = portal_tokens.verify(data.token, services.secret_key)
    tenant = await tenant_by_id(services, token.tenant)
    origin = _origin(request, tenant, token)
    wanted = convert(token.session, SessionRequest)
    opener = Opener("browser", once=token.id, origin=origin, token=token.id, browser=_browser(request))
    session = await open_session(services, tenant, token.customer, wanted, opener)
    return Redirect(session.url, status_code=303, headers=pages.HEADERS)


def _origin(request: Request[Any, Any, Any], tenant: Tenant, token: PortalToken) -> str:
    """Where the form stands, as the browser says: a page cannot. Raises `Forbidden`."""
    origin = request.headers.get("origin") or ""
    if origin not in tenant.return_origins or token.origin not in (None, origin):
        raise Forbidden("The form has to be on a page of the tenant's return_origins, and the browser has to say so.")
    return origin


def _browser(request: Request[Any, Any, Any]) -> bytes:
    """What tells a double click from somebody else's copy of the token."""
    names = ("user-agent", "accept-language")
    said = [request.client.host if request.client else "", *(request.headers.get(name) or "" for name in names)]
    return hashlib.sha256("\0".join(said).encode()).digest()


PUBLIC_ROUTES = (open_portal,)

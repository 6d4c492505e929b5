"""From the button on a tenant's page into the portal: a form posts a token, and the browser is sent on to Stripe.

The token is posted so that it stands in no URL, history or log. Whatever goes wrong is answered with a page for people.
"""

from typing import Any

from litestar import MediaType, Request, Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from msgspec import Struct, convert

from colonnade.access import portal_tokens
from colonnade.accounts.service import tenant_by_id
from colonnade.errors import DomainError
from colonnade.portals.sessions import SessionRequest, open_session, prepare
from colonnade.problems import EXCEPTION_HANDLERS
from colonnade.services import Services

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ font: 1.1rem/1.6 system-ui, sans-serif; margin: 20vh auto; max-width: 30rem; padding: 0 1.5rem }}</style>
<h1>{title}</h1>
<p>{advice}</p>
</html>
"""
_EXPIRED = ("This link has expired", "Go back to the page you came from and open it again.")
_LATER = ("Billing is not available right now", "Go back and try again in a moment.")
_BROKEN = ("This link does not work", "Go back to the page you came from; if it happens again, contact its support.")


class PortalForm(Struct):
    """What the button's form posts."""

    token: str


def _page(request: Request[Any, Any, Any], error: Exception) -> Response[str]:
    handler = next(EXCEPTION_HANDLERS[base] for base in type(error).__mro__ if base in EXCEPTION_HANDLERS)
    problem = handler(request, error)
    status = problem.status_code or 500
    title, advice = _EXPIRED if status == 401 else _LATER if status >= 500 else _BROKEN
    headers = {name: value for name, value in problem.headers.items() if name.lower() == "retry-after"}
    return Response(
        _PAGE.format(title=title, advice=advice),
        status_code=status,
        media_type=MediaType.HTML,
        headers=headers | _HEADERS,
    )


@post(
    "/portal",
    summary="Open the portal from a form in the customer's browser",
    tags=["Portals"],
    status_code=303,
    security=[{}],
    exception_handlers={DomainError: _page, HTTPException: _page, Exception: _page},
)
async def open_portal(data: URLEncodedBody[PortalForm], services: NamedDependency[Services]) -> Redirect:
    token = portal_tokens.verify(data.token, services.secret_key)
    tenant = await tenant_by_id(services, token.tenant)
    wanted = convert(token.session, SessionRequest)
    session = await open_session(services, tenant, await prepare(services, tenant, token.customer, wanted))
    return Redirect(session.url, status_code=303, headers=_HEADERS)


PUBLIC_ROUTES = (open_portal,)

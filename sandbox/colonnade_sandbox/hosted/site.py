"""Which hosted page answers which path."""

import re
from collections.abc import Callable

from colonnade_sandbox.errors import StripeError
from colonnade_sandbox.hosted import brand_files, checkout, invoices, login, onboarding, pages, portal
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.sandbox import Sandbox

Page = Callable[..., Response]

PAGES: tuple[tuple[str, Page], ...] = (
    (r"/p/session/(?P<token>[^/]+)/login", login.of_session),
    (r"/p/session/(?P<token>[^/]+)(?P<rest>/.*)?", portal.answer),
    (r"/p/login/(?P<token>[^/]+)", login.of_configuration),
    (r"/p/style\.css", pages.stylesheet),
    (r"/p/brand/(?P<primary>[0-9a-f]{6})-(?P<secondary>[0-9a-f]{6})\.css", pages.brand_stylesheet),
    (r"/p/brand/(?P<primary>[0-9a-f]{6})\.svg", pages.brand_tile),
    (r"/c/pay/(?P<token>[^/]+)", checkout.answer),
    (r"/c/pay/(?P<token>[^/]+)/confirm", checkout.challenge),
    (r"/onboarding/(?P<token>[^/]+)", onboarding.open_link),
    (r"/onboarding/session/(?P<token>[^/]+)", onboarding.answer),
    (r"/invoice/(?P<token>[^/]+)", invoices.public),
    (r"/invoice/(?P<token>[^/]+)/pdf", invoices.document),
    (r"/files/(?P<file>[^/]+)(?:/contents)?", brand_files.contents),
)


async def handle(request: Request, sandbox: Sandbox) -> Response:
    """The page at `request.path`."""
    try:
        for pattern, page in PAGES:
            if found := re.fullmatch(pattern, request.path):
                return page(request, sandbox, **found.groupdict())
        raise pages.Refused(404, "Page not found", "This page does not exist.")
    except pages.Refused as refusal:
        return pages.refusal(refusal)
    except StripeError as error:
        return pages.refusal(pages.Refused(error.status, "That did not work", str(error)))

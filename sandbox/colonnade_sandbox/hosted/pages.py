"""What all hosted pages share: templates, headers, refusals, the token against forged forms."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment

from colonnade_portal_page import pages as portal_page
from colonnade_portal_page.brand import css
from colonnade_portal_page.messages import Language
from colonnade_sandbox.hosted import brand, words
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import NOWHERE

HERE = Path(__file__).parent
PLAIN = Language()

HEADERS = (
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-robots-tag", "noindex"),
)


class Refused(Exception):
    """A page that says no, with a heading and a sentence that tell a stranger nothing."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(title)
        self.status, self.title, self.text = status, title, text


@cache
def _templates() -> Environment:
    found = portal_page.environment(HERE / "templates")
    found.filters["total_price"] = words.total_price
    found.globals["style_url"] = f"/p/style.css?v={hashlib.sha256(portal_page.style().encode()).hexdigest()[:12]}"
    return found


def render(
    template: str,
    *,
    status: int = 200,
    leads_to: Iterable[str | None] = (),
    t: Language = PLAIN,
    **values: Any,
) -> Response:
    """A page. `leads_to` are the URLs elsewhere that its forms may end at, by a redirect; `t` translates."""
    response = Response.html(_templates().get_template(template).render(t=t, **values), status)
    response.headers += [*HEADERS, ("content-security-policy", _policy(leads_to))]
    return response


def _policy(leads_to: Iterable[str | None]) -> str:
    # Browsers hold every redirect after a form against form-action, and a page that one leads to may redirect further.
    targets = "'self' http: https:" if any(words.origin(url) for url in leads_to) else "'self'"
    return (
        "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none'; "
        f"form-action {targets}; frame-ancestors 'none'"
    )


def refusal(refused: Refused, **values: Any) -> Response:
    """The page of a refusal; in the brand's colours where `values` name a `brand`."""
    known = {"brand": brand.Brand("Billing"), "back": None} | values
    t = known.pop("t", PLAIN)
    return render("message.html", status=refused.status, title=t(refused.title), text=t(refused.text), t=t, **known)


def redirect(url: str) -> Response:
    # A header holds ASCII and no line break, whatever the URL holds.
    response = Response.redirect(quote(url, safe="%:/?#[]@!$&'()*+,;=~"))
    response.headers += HEADERS
    return response


def asset(media_type: str, content: bytes) -> Response:
    """A public file: cached, and never run as a page of its own."""
    policy = "default-src 'none'; frame-ancestors 'none'; sandbox"
    headers = [
        ("content-type", media_type),
        ("cache-control", "public, max-age=3600"),
        ("content-security-policy", policy),
        *HEADERS[1:],
    ]
    return Response(200, content, headers)


def stylesheet(request: Request, sandbox: Sandbox) -> Response:
    return asset("text/css; charset=utf-8", portal_page.style().encode())


def brand_stylesheet(request: Request, sandbox: Sandbox, primary: str, secondary: str) -> Response:
    """A brand's colours: a file of its own, because the pages allow no inline style."""
    return asset("text/css; charset=utf-8", css(primary, secondary).encode())


def brand_tile(request: Request, sandbox: Sandbox, primary: str) -> Response:
    return asset("image/svg+xml", brand.tile(primary).encode())


def form_token(sandbox: Sandbox, token: str) -> str:
    """What proves that a form came from a page of the session behind `token`."""
    return hmac.new(_form_secret(sandbox), token.encode(), hashlib.sha256).hexdigest()


def _form_secret(sandbox: Sandbox) -> bytes:
    """Kept with the objects, so that forms which are open over a restart still count."""
    kept = sandbox.store.find(NOWHERE, "_setting", "form_secret")
    if kept is None:
        kept = {"id": "form_secret", "secret": secrets.token_hex(32)}
        with sandbox.store.transaction():
            sandbox.store.put(NOWHERE, "_setting", "form_secret", kept)
    return bytes.fromhex(kept["secret"])


def check_form(request: Request, sandbox: Sandbox, token: str) -> None:
    """Raises Refused (403) for a form that did not come from the session's own page."""
    given = request.form.get("csrf_token", "")
    if not hmac.compare_digest(given.encode(), form_token(sandbox, token).encode()):
        text = "This form is no longer valid. Go back, reload the page and try again."
        raise Refused(403, "Please try again", text)

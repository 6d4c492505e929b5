"""Log in by e-mail: at a configuration's login page, or after a session with `after_expiration` has expired.

Stripe mails a link. The sandbox shows the message that would be sent.
"""

from functools import partial
from typing import Any

from colonnade_portal_page import messages
from colonnade_portal_page.messages import Language
from colonnade_sandbox.call import Call
from colonnade_sandbox.hosted import brand, pages
from colonnade_sandbox.hosted.visit import is_connected
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.resources import billing_portal_configurations as configurations
from colonnade_sandbox.resources import billing_portal_sessions as sessions
from colonnade_sandbox.sandbox import Sandbox
from colonnade_sandbox.store import NOWHERE, Object


def may_return(sandbox: Sandbox, kept: Object) -> bool:
    """Whether the expired session behind a token lets its customer log in again."""
    session = sandbox.store.find(kept["account"], sessions.KIND, kept["session"]) or {}
    after = session.get("after_expiration")
    if not after or not is_connected(sandbox, kept["platform"], kept["account"], session["on_behalf_of"]):
        return False
    if sandbox.store.find(kept["account"], "customer", session["customer"]) is None:
        return False
    until = (after.get("customer_login") or {}).get("expires_at")
    return until is None or sandbox.clock.now() <= until


def of_session(request: Request, sandbox: Sandbox, token: str) -> Response:
    """The login that takes the place of an expired session."""
    kept = sandbox.store.find(NOWHERE, sessions.TOKEN_KIND, token)
    if kept is None or not may_return(sandbox, kept):
        raise pages.Refused(404, "Page not found", "This link is not valid.")
    call = Call(sandbox, kept["account"], kept["platform"])
    session = call.get(sessions.KIND, kept["session"])
    customer = call.get("customer", session["customer"])
    shown = brand.of_account(sandbox, session["on_behalf_of"] or kept["account"])
    if request.method != "POST":
        return _ask(request, sandbox, shown, token)
    pages.check_form(request, sandbox, token)
    email = request.form.get("email", "").strip()
    if email.lower() != (customer["email"] or "").lower() or not email:
        return _sent(request, shown, email, None)
    return _sent(request, shown, email, sandbox.run(partial(sessions.renewed, session=session), call)["url"])


def of_configuration(request: Request, sandbox: Sandbox, token: str) -> Response:
    """`login_page.url`: any customer of the account whose e-mail address it is."""
    found = _configuration(sandbox, token)
    if found is None:
        raise pages.Refused(404, "Page not found", "This link is not valid.")
    account, configuration = found
    shown = brand.of_account(sandbox, account)
    if request.method != "POST":
        return _ask(request, sandbox, shown, token)
    pages.check_form(request, sandbox, token)
    email = request.form.get("email", "").strip()
    call = Call(sandbox, account, account)
    customer = _customer(call, email)
    if customer is None:
        return _sent(request, shown, email, None)
    values = {"customer": customer["id"], "configuration": configuration["id"]}
    return _sent(request, shown, email, sandbox.run(sessions.create, call.to(**values))["url"])


def _configuration(sandbox: Sandbox, token: str) -> tuple[str, Object] | None:
    for account, configuration in sandbox.store.everywhere(configurations.KIND):
        url = configuration["login_page"]["url"] or ""
        if configuration["active"] and url.rpartition("/")[2] == token:
            return account, configuration
    return None


def _customer(call: Call, email: str) -> Object | None:
    """The newest customer with the address."""
    rows = (row for row in call.all("customer") if email and (row["email"] or "").lower() == email.lower())
    return next(rows, None)


def _ask(request: Request, sandbox: Sandbox, shown: brand.Brand, token: str) -> Response:
    values: dict[str, Any] = {"action": request.path, "csrf_token": pages.form_token(sandbox, token)}
    return pages.render("login.html", brand=shown, t=_language(request), **values)


def _sent(request: Request, shown: brand.Brand, email: str, url: str | None) -> Response:
    return pages.render("mail.html", brand=shown, t=_language(request), email=email, url=url)


def _language(request: Request) -> Language:
    return messages.chosen(request.headers.get("accept-language"))

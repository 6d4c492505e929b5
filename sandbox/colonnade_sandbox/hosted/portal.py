"""The customer portal: which page answers which path below `/p/session/{token}`."""

import re
from collections.abc import Callable

from colonnade_sandbox.errors import StripeError
from colonnade_sandbox.hosted import (
    cancellation,
    customer_details,
    deferral,
    flows,
    home,
    invoices,
    login,
    pages,
    pause,
    payment_methods,
    plan_change,
    tax_ids,
)
from colonnade_sandbox.hosted.visit import Expired, Visit, open_visit
from colonnade_sandbox.http import Request, Response
from colonnade_sandbox.sandbox import Sandbox

Page = Callable[..., Response]

EXPIRED = (
    "For your security, this page stays open for a short time only. Go back to where you came from to get a new link."
)

PAGES: tuple[tuple[str, str, Page], ...] = (
    ("GET", r"/?", home.first_page),
    ("GET", r"/home", home.show),
    ("GET", r"/done", flows.done),
    ("GET", r"/subscriptions/(?P<key>[^/]+)/cancel", cancellation.ask),
    ("POST", r"/subscriptions/(?P<key>[^/]+)/cancel", cancellation.cancel),
    ("POST", r"/subscriptions/(?P<key>[^/]+)/keep", cancellation.keep),
    ("POST", r"/subscriptions/(?P<key>[^/]+)/stay", cancellation.stay),
    ("GET", r"/subscriptions/(?P<key>[^/]+)/pause", pause.ask),
    ("POST", r"/subscriptions/(?P<key>[^/]+)/pause", pause.pause),
    ("POST", r"/subscriptions/(?P<key>[^/]+)/resume", pause.resume),
    ("POST", r"/subscriptions/(?P<key>[^/]+)/withdraw", deferral.withdraw),
    ("GET", r"/subscriptions/(?P<key>[^/]+)/update", plan_change.choose),
    ("GET", r"/subscriptions/(?P<key>[^/]+)/update/confirm", plan_change.confirm),
    ("POST", r"/subscriptions/(?P<key>[^/]+)/update", plan_change.update),
    ("GET", r"/payment-methods/new", payment_methods.ask),
    ("POST", r"/payment-methods", payment_methods.add),
    ("POST", r"/payment-methods/(?P<key>[^/]+)/default", payment_methods.make_default),
    ("POST", r"/payment-methods/(?P<key>[^/]+)/remove", payment_methods.remove),
    ("GET", r"/customer", customer_details.ask),
    ("POST", r"/customer", customer_details.save),
    ("GET", r"/tax-ids/new", tax_ids.ask),
    ("POST", r"/tax-ids", tax_ids.add),
    ("POST", r"/tax-ids/(?P<key>[^/]+)/remove", tax_ids.remove),
    ("GET", r"/invoices/(?P<key>[^/]+)", invoices.of_visit),
    ("POST", r"/invoices/(?P<key>[^/]+)/pay", invoices.pay),
)


def answer(request: Request, sandbox: Sandbox, token: str, rest: str | None) -> Response:
    try:
        visit = open_visit(request, sandbox, token)
    except Expired as expired:
        if login.may_return(sandbox, expired.kept):
            return pages.redirect(f"/p/session/{token}/login")
        raise pages.Refused(410, "This link has expired", EXPIRED) from None
    try:
        return _answer(visit, rest or "")
    except pages.Refused as refused:
        return _refusal(visit, refused)
    except StripeError as error:
        # What the API would refuse: the catalogue changed while the page was open.
        return _refusal(visit, pages.Refused(error.status, "That did not work", str(error)))


def _answer(visit: Visit, rest: str) -> Response:
    if visit.request.method == "POST":
        pages.check_form(visit.request, visit.sandbox, visit.token)
    found = [(method, page, match) for method, pattern, page in PAGES if (match := re.fullmatch(pattern, rest))]
    for method, page, match in found:
        if method == visit.request.method:
            return page(visit, **match.groupdict())
    if found:
        raise pages.Refused(405, "Not possible", "This page cannot be used that way.")
    raise pages.Refused(404, "Page not found", "This page does not exist.")


def _refusal(visit: Visit, refused: pages.Refused) -> Response:
    return pages.refusal(refused, brand=visit.brand, back=flows.home_link(visit), t=visit.t)

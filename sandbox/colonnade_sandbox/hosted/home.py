"""The portal's home page: all that the configuration lets a customer see."""

from dataclasses import dataclass
from typing import Any

from colonnade_sandbox.hosted import (
    cancellation,
    customer_details,
    flows,
    invoices,
    offers,
    pages,
    pause,
    payment_methods,
    summary,
    tax_ids,
)
from colonnade_sandbox.hosted.visit import Visit
from colonnade_sandbox.http import Response
from colonnade_sandbox.store import Object

SHOWN_INVOICES = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A subscription with what may be done about it."""

    summary: summary.Summary
    can_cancel: bool
    can_keep: bool
    can_update: bool
    can_pause: bool
    can_resume: bool
    can_withdraw: bool


def first_page(visit: Visit) -> Response:
    """The session's URL: its flow's step, else the home page."""
    step = flows.start(visit)
    return pages.redirect(step) if step else show(visit)


def show(visit: Visit) -> Response:
    shown = visit.invoices() if visit.has("invoice_history") else []
    every = visit.request.arguments.get("invoices") == "all"
    profile: dict[str, Any] = visit.configuration["business_profile"]
    return visit.page(
        "home.html",
        notice=visit.t(flows.NOTICES.get(visit.request.arguments.get("notice", ""), "")),
        headline=profile.get("headline")
        or visit.t("{name} partners with Stripe for simplified billing.", name=visit.brand.name),
        rows=[_row(visit, subscription) for subscription in visit.subscriptions()],
        methods=payment_methods.rows(visit) if visit.has(payment_methods.FEATURE) else None,
        details=customer_details.summary(visit) if visit.has(customer_details.FEATURE) else None,
        tax_ids=tax_ids.rows(visit) if tax_ids.allowed(visit) else None,
        invoices=shown if every else shown[:SHOWN_INVOICES],
        more_invoices=not every and len(shown) > SHOWN_INVOICES,
        statuses=invoices.STATUSES,
    )


def _row(visit: Visit, subscription: Object) -> Row:
    found = summary.of(visit, subscription)
    return Row(
        summary=found,
        can_cancel=cancellation.can_cancel(visit, subscription),
        can_keep=cancellation.can_keep(visit, subscription),
        can_update=offers.can_update(visit, subscription),
        can_pause=pause.can_pause(visit, subscription),
        can_resume=pause.can_resume(visit, subscription),
        can_withdraw=found.planned is not None and visit.has(offers.FEATURE),
    )

"""Previews: what the next invoice would be, found by doing everything and undoing it."""

from typing import Any

from colonnade_sandbox import errors, ids
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import renewals, subscriptions
from colonnade_sandbox.store import Object

DETAILS = "billing_mode cancel_at cancel_at_period_end cancel_now items proration_behavior proration_date trial_end"
TAKEN = "currency customer discounts preview_mode subscription " + " ".join(
    f"subscription_details[{name}]" for name in DETAILS.split()
)
# A preview has none of what finalising and paying give.
UNSENT: dict[str, Any] = {
    "amount_paid": 0,
    "attempt_count": 0,
    "attempted": False,
    "auto_advance": False,
    "automatically_finalizes_at": None,
    "billing_reason": "upcoming",
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "next_payment_attempt": None,
    "number": None,
    "status": "draft",
}


@operation("POST", "/v1/invoices/create_preview", takes=TAKEN)
def create_preview(call: Call) -> Object:
    """The invoice of the changes in `subscription_details`, or else of the next renewal with them.

    Raises StripeError (400) where the changes are refused, or where nothing would be billed.
    """
    found: Object | None = None
    with call.sandbox.store.rehearsal():
        found = _rehearse(call)
    if found is None:
        raise errors.invalid("No upcoming invoices for customer", code="invoice_upcoming_none")
    unsent = {"amount_remaining": found["amount_due"], "status_transitions": dict.fromkeys(found["status_transitions"])}
    return found | UNSENT | unsent | {"id": ids.new("upcoming_in")}


def _rehearse(call: Call) -> Object | None:
    params, details = call.params, dict(call.params.get("subscription_details", {}))
    cancels = details.pop("cancel_now", False)
    if "discounts" in params:
        details["discounts"] = params["discounts"]
    if "subscription" not in params:
        return _first(call, details)
    subscription = call.get("subscription", params["subscription"], "subscription")
    before = subscription["latest_invoice"]
    if cancels:
        wishes = {"prorate": details.get("proration_behavior") != "none", "invoice_now": True}
        subscriptions.cancel(call.to(**wishes).at(subscription["id"]))
        return next(call.all("invoice"))
    if details:
        details.pop("billing_mode", None)
        subscription = subscriptions.update(call.to(**details).at(subscription["id"]))
    if subscription["latest_invoice"] != before:
        return call.find("invoice", subscription["latest_invoice"])
    return _next(call, subscription)


def _first(call: Call, details: dict[str, Any]) -> Object | None:
    """The first invoice of a subscription that does not exist yet."""
    if "customer" not in call.params or "items" not in details:
        raise errors.missing_parameter("subscription")
    details.pop("proration_date", None)
    wanted = {"customer": call.params["customer"], "payment_behavior": "default_incomplete"} | details
    created = subscriptions.create(call.to(**wanted))
    return call.find("invoice", created["latest_invoice"])


def _next(call: Call, subscription: Object) -> Object | None:
    ends = min(item["current_period_end"] for item in subscription["items"]["data"])
    cancel_at = subscription["cancel_at"]
    if subscription["status"] in ("canceled", "incomplete_expired", "paused") or (cancel_at and cancel_at <= ends):
        return None
    later = call.to()
    later.moment = ends
    renewed = renewals.renew(later, subscription)
    return call.find("invoice", renewed["latest_invoice"] or "")

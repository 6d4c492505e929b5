"""Invoices as time passes: drafts finalise themselves, failed payments are tried again, due dates pass."""

from typing import Any

from colonnade_sandbox import billing_settings
from colonnade_sandbox.call import Call
from colonnade_sandbox.clock import DAY
from colonnade_sandbox.resources import collection, invoices, lifecycle, pending_updates
from colonnade_sandbox.store import Object


def due_at(invoice: Object) -> int | None:
    """When an invoice's next work falls due."""
    found: int | None = None
    if invoice["status"] == "draft" and invoice["auto_advance"]:
        found = invoice["automatically_finalizes_at"]
    elif invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically":
        found = invoice["next_payment_attempt"]
    elif invoice["status"] == "open" and not invoice.get("_overdue"):
        found = invoice["due_date"]
    return found


def work(call: Call, invoice: Object) -> None:
    """Do what is due now; called with the clock at the moment that `due_at` gave."""
    if invoice["status"] == "draft":
        finish(call, invoice)
    elif invoice["collection_method"] == "charge_automatically":
        charge(call, invoice)
    else:
        _overdue(call, invoice)


def finish(call: Call, invoice: Object) -> Object:
    """Finalise a draft and charge it, as the collection method and a pause of collection have it."""
    opened = invoices.finalize(call, invoice)
    subscription = call.find("subscription", invoices.subscription_of(invoice) or "")
    behaviour = ((subscription or {}).get("pause_collection") or {}).get("behavior")
    if opened["amount_due"] == 0:
        return charge(call, opened)
    if behaviour == "void":
        return invoices.void(call, opened)
    if behaviour == "mark_uncollectible":
        return invoices.write_off(call, opened, "subscription_paused")
    if opened["collection_method"] == "send_invoice":
        call.emit("invoice.sent", opened)
        return opened
    return charge(call, opened)


def charge(call: Call, invoice: Object, method: Object | None = None, *, authenticated: bool = False) -> Object:
    """Try to collect an open invoice; its subscription becomes what follows from the outcome."""
    method = method or collection.payer(call, invoice)
    collected = collection.collect(call, invoice, method, authenticated=authenticated)
    subscription = call.find("subscription", invoices.subscription_of(invoice) or "")
    if collected["status"] == "paid":
        if subscription is not None:
            settled(call, subscription, collected)
        return collected
    planned = plan_retry(call, collected)
    if subscription is not None and subscription["status"] in ("active", "past_due", "trialing"):
        _unsettled(call, subscription, planned)
    return planned


def settled(call: Call, subscription: Object, invoice: Object) -> Object:
    """An invoice was paid: the newest one settles what its subscription is."""
    if subscription["status"] in lifecycle.ENDED:
        return subscription
    if (subscription["pending_update"] or {}) and subscription["_pending"]["invoice"] == invoice["id"]:
        return pending_updates.apply(call, subscription)
    newest = subscription["latest_invoice"] == invoice["id"]
    if newest and subscription["status"] in ("incomplete", "past_due", "unpaid"):
        return lifecycle.change(call, subscription, {"status": "active"})
    if newest and subscription["status"] == "paused" and subscription.get("_resuming"):
        return lifecycle.resumed(call, subscription)
    return subscription


def plan_retry(call: Call, invoice: Object) -> Object:
    """Set when a failed automatic payment is tried again; null after the last time."""
    settings = billing_settings.of(call.sandbox.store, call.account)
    subscription = call.find("subscription", invoices.subscription_of(invoice) or "")
    waits = subscription is None or subscription["status"] in ("incomplete", "paused")
    following = None
    if invoice["auto_advance"] and not waits and invoice["attempt_count"] <= len(settings.retry_days):
        following = call.now + settings.retry_days[invoice["attempt_count"] - 1] * DAY
    return call.change(invoice, {"next_payment_attempt": following})


def _unsettled(call: Call, subscription: Object, invoice: Object) -> None:
    settings = billing_settings.of(call.sandbox.store, call.account)
    final = invoice["next_payment_attempt"] is None and invoice["attempt_count"] > len(settings.retry_days)
    outcome = settings.after_retries if final else "past_due"
    if outcome == "cancel":
        lifecycle.end(call, subscription, {"reason": "payment_failed"})
    elif subscription["status"] != outcome:
        lifecycle.change(call, subscription, {"status": outcome})


def _overdue(call: Call, invoice: Object) -> None:
    """The due date of a sent invoice has passed."""
    late = call.put(invoice | {"_overdue": True})
    call.emit("invoice.overdue", late)
    collection.mark_delinquent(call, late, late=True)
    subscription: dict[str, Any] | None = call.find("subscription", invoices.subscription_of(invoice) or "")
    if subscription is not None and subscription["status"] == "active":
        lifecycle.change(call, subscription, {"status": "past_due"})

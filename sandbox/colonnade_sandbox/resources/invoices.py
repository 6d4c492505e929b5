"""What an invoice is: drafted from lines, finalised, charged; the routes are in `invoice_operations`."""

from collections.abc import Sequence
from typing import Any

from colonnade_sandbox import ids
from colonnade_sandbox.call import Call
from colonnade_sandbox.clock import DAY, HOUR
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.resources import (
    customer_discounts,
    discounts,
    invoice_lines,
    invoice_payments,
    lifecycle,
)
from colonnade_sandbox.store import Object

# Stripe finalises a renewal's draft about an hour after it was made (Stripe docs, "Invoice lifecycle").
DRAFT_FOR = HOUR
DAYS_UNTIL_DUE = 30

subscription_of = lifecycle.of_invoice


def bill(call: Call, subscription: Object, items: Sequence[Object], reason: str, *, free: bool = False) -> Object:
    """A draft for the current period of `items` and what is pending; `free` during a trial."""
    customer = call.get("customer", subscription["customer"], "customer")
    invoice_id = ids.new("in")
    waiting = invoice_lines.pending(call, customer["id"], subscription["currency"], subscription["id"])
    lines = [*invoice_lines.take_pending(call, invoice_id, waiting)]
    lines += [invoice_lines.of_period(subscription, item, free=free) for item in items]
    details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
    paused = (subscription["pause_collection"] or {}).get("behavior")
    values = {
        "id": invoice_id,
        "auto_advance": subscription["status"] != "unpaid" and paused != "keep_as_draft",
        "billing_reason": reason,
        "collection_method": subscription["collection_method"],
        "currency": subscription["currency"],
        "default_payment_method": None,
        "on_behalf_of": subscription["on_behalf_of"],
        "parent": {"type": "subscription_details", "subscription_details": details, "quote_details": None},
        "_days_until_due": subscription["days_until_due"],
    }
    chosen = subscription["discounts"] or customer_discounts.of(customer)
    invoice = draft(call, customer, lines, values | {"discounts": chosen})
    if chosen and not subscription["discounts"]:
        customer_discounts.spend(call, customer)
    return invoice


def draft(call: Call, customer: Object, lines: list[Object], values: dict[str, Any]) -> Object:
    """A new draft; it finalises itself after an hour if `auto_advance` says so."""
    now = call.now
    defaults = {
        "account_name": "Sandbox platform",
        "account_country": "US",
        "automatically_finalizes_at": now + DRAFT_FOR if values["auto_advance"] else None,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": customer["tax_exempt"] or "none",
        "issuer": {"type": "self"},
        "metadata": {},
        "period_start": now,
        "period_end": now,
        "status": "draft",
        "test_clock": customer["test_clock"],
        "lines": shapes.page([], ""),
        "discounts": [],
        "_token": ids.token(24),
    }
    invoice = call.new("invoice", "in", defaults | values)
    return call.add("invoice", "in", invoice | totals(call, invoice, lines))


def totals(call: Call, invoice: Object, lines: list[Object]) -> dict[str, Any]:
    """Everything of an invoice that follows from its lines and its discounts."""
    reduced, given = discounts.applied(call, invoice["discounts"], lines)
    for line in reduced:
        line["invoice"] = invoice["id"]
    subtotal = sum(line["subtotal"] for line in reduced)
    total = subtotal - sum(each["amount"] for each in given)
    due = max(total, 0)
    return {
        "amount_due": due,
        "amount_remaining": due,
        "lines": shapes.page(reduced, f"/v1/invoices/{invoice['id']}/lines"),
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": total,
        "total_discount_amounts": given,
        "total_excluding_tax": total,
    }


def finalize(call: Call, invoice: Object) -> Object:
    """Open the draft: it gets its number, its page, and the customer's balance taken off."""
    customer = call.get("customer", invoice["customer"], "customer")
    number, balance = customer["next_invoice_sequence"], customer["balance"] or 0
    owed = invoice["total"] + balance
    left = min(owed, 0)
    call.change(customer, {"next_invoice_sequence": number + 1, "balance": left})
    url = f"{call.sandbox.base_url}/invoice/{invoice['_token']}"
    due_date = invoice["due_date"]
    if invoice["collection_method"] == "send_invoice" and due_date is None:
        due_date = call.now + (invoice.get("_days_until_due") or DAYS_UNTIL_DUE) * DAY
    changes = {
        "amount_due": max(owed, 0),
        "amount_remaining": max(owed, 0),
        "automatically_finalizes_at": None,
        "due_date": due_date,
        "effective_at": invoice["effective_at"] or call.now,
        "ending_balance": left,
        "hosted_invoice_url": url,
        "invoice_pdf": f"{url}/pdf",
        "number": invoice["number"] or f"{customer['invoice_prefix']}-{number:04d}",
        "starting_balance": balance,
        "status": "open",
        "status_transitions": invoice["status_transitions"] | {"finalized_at": call.now},
    }
    opened = call.change(invoice, changes, event="invoice.finalized")
    if opened["amount_due"] > 0:
        invoice_payments.open_for(call, opened)
    return opened


def void(call: Call, invoice: Object) -> Object:
    transitions = invoice["status_transitions"] | {"voided_at": call.now}
    changes = {
        "amount_remaining": 0,
        "auto_advance": False,
        "next_payment_attempt": None,
        "status": "void",
        "status_transitions": transitions,
    }
    invoice_payments.cancel(call, invoice)
    return call.change(invoice, changes, event="invoice.voided")


def write_off(call: Call, invoice: Object, reason: str = "user_forgiven") -> Object:
    """Mark an open invoice uncollectible; it may still be paid."""
    transitions = invoice["status_transitions"] | {"marked_uncollectible_at": call.now}
    changes = {
        "auto_advance": False,
        "next_payment_attempt": None,
        "status": "uncollectible",
        "status_details": {"uncollectible": {"reason": reason}},
        "status_transitions": transitions,
    }
    return call.change(invoice, changes, event="invoice.marked_uncollectible")

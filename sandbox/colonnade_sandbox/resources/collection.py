"""Collecting what an invoice asks for: from a card, outside Stripe, and who is late."""

from typing import Any

from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import invoice_payments, lifecycle, payment_methods
from colonnade_sandbox.store import Object


def collect(call: Call, invoice: Object, method: Object | None, *, authenticated: bool = False) -> Object:
    """Charge an open invoice to a payment method; the answer tells by its status whether that worked.

    `authenticated` says that the customer has passed the bank's check just now.
    """
    refused = payment_methods.refusal(method, authenticated=authenticated) if invoice["amount_remaining"] else None
    if refused is not None:
        return _failed(call, invoice, refused)
    attempted = bool(invoice["amount_remaining"])
    paid = call.change(
        invoice,
        {
            **_paid(call, invoice),
            "attempted": True,
            "attempt_count": invoice["attempt_count"] + attempted,
        },
    )
    invoice_payments.settle(call, paid)
    mark_delinquent(call, paid, late=False)
    call.emit("invoice.paid", paid)
    call.emit("invoice.payment_succeeded", paid)
    return paid


def _paid(call: Call, invoice: Object) -> dict[str, Any]:
    return {
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "auto_advance": False,
        "next_payment_attempt": None,
        "status": "paid",
        "status_transitions": invoice["status_transitions"] | {"paid_at": call.now},
    }


def pay_out_of_band(call: Call, invoice: Object) -> Object:
    """Paid outside Stripe: `invoice.paid` without `invoice.payment_succeeded`."""
    paid = call.change(invoice, _paid(call, invoice) | {"amount_paid_off_stripe": invoice["amount_due"]})
    invoice_payments.cancel(call, paid)
    mark_delinquent(call, paid, late=False)
    call.emit("invoice.paid", paid)
    return paid


def mark_delinquent(call: Call, invoice: Object, *, late: bool) -> None:
    """The customer's `delinquent` follows the newest change of any invoice (API reference, "The Customer object")."""
    customer = call.find("customer", invoice["customer"])
    if customer is not None and customer["delinquent"] is not late:
        call.change(customer, {"delinquent": late})


def _failed(call: Call, invoice: Object, refused: str) -> Object:
    changes = {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    failed = call.change(invoice, changes)
    mark_delinquent(call, failed, late=True)
    call.emit("invoice.payment_failed", failed)
    if refused == payment_methods.AUTHENTICATION:
        call.emit("invoice.payment_action_required", failed)
    return failed


def chargeable(call: Call, subscription: Object) -> Object | None:
    """The payment method that the subscription's invoices are charged to."""
    customer = call.get("customer", subscription["customer"], "customer")
    chosen = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    chosen = chosen or customer["default_source"]
    return call.find("payment_method", chosen) if chosen else None


def payer(call: Call, invoice: Object) -> Object | None:
    """The payment method that an invoice is charged to: its own, its subscription's, or the customer's."""
    if invoice["default_payment_method"]:
        return call.find("payment_method", invoice["default_payment_method"])
    subscription = call.find("subscription", lifecycle.of_invoice(invoice) or "")
    return chargeable(call, subscription or {"customer": invoice["customer"], "default_payment_method": None})

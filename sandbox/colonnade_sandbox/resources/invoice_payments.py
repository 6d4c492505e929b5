"""Paying an open invoice, and what that does to its subscription."""

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import invoices, lifecycle, payment_methods
from colonnade_sandbox.store import Object


@operation("POST", "/v1/invoices/{invoice}/pay", takes="payment_method")
def pay(call: Call) -> Object:
    """Raises StripeError: 400 for an invoice that is not open, 402 if the card declines."""
    invoice = call.get("invoice", call.id)
    if invoice["status"] != "open":
        text = "Invoice is already paid" if invoice["status"] == "paid" else "Invoice is not open"
        raise errors.invalid(text, code="invoice_already_paid" if invoice["status"] == "paid" else None)
    subscription = call.get("subscription", invoices.subscription_of(invoice) or "", "subscription")
    method = invoices.chargeable(call, subscription)
    if name := call.params.get("payment_method"):
        method = payment_methods.of_customer(call, invoice["customer"], name)
        if method is None:
            raise errors.no_such("payment_method", name, "payment_method")
    if method is None:
        raise lifecycle.no_payment_method()
    paid = invoices.collect(call, invoice, method)
    if paid["status"] != "paid":
        raise payment_methods.declined(payment_methods.card_of(method).charge or "generic_decline")
    lifecycle.paid(call, subscription, paid)
    return paid

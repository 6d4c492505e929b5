"""Paying an open invoice from its page, with the payment method that it would be charged to anyway."""

from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import collection, invoice_work, payment_methods, test_clocks
from colonnade_sandbox.store import Object

DECLINED = "Your card was declined. Choose another payment method and try again."
CONFIRM = "Your bank asks you to confirm this payment."


def method(call: Call, invoice: Object) -> Object | None:
    """The payment method of an invoice that can be paid here; None where it cannot."""
    if invoice["status"] != "open" or not invoice["amount_remaining"]:
        return None
    return collection.payer(call, invoice)


def pay(call: Call, invoice: Object, *, confirmed: bool) -> str | None:
    """Charge the invoice; answers what is in the way, None for paid. `confirmed` stands in for the bank's page.

    Raises StripeError (429) while the customer's test clock moves.
    """
    charged_to = method(call, invoice)
    if charged_to is None:
        return "This invoice cannot be paid here."
    test_clocks.check_still(call, call.get("customer", invoice["customer"], "customer"))

    def charge(call: Call) -> Object:
        return invoice_work.charge(call, invoice, charged_to, authenticated=confirmed)

    if call.sandbox.run(charge, call)["status"] == "paid":
        return None
    reason = payment_methods.refusal(charged_to, authenticated=confirmed)
    return CONFIRM if reason == payment_methods.AUTHENTICATION else DECLINED

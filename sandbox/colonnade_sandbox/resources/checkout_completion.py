"""What paying on the Checkout page does: customer, payment method, subscription, and the session's end."""

from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import (
    checkout_quotes,
    customers,
    invoice_work,
    payment_methods,
    subscriptions,
    test_cards,
)
from colonnade_sandbox.store import Object


def complete(call: Call, session: Object, *, email: str, name: str, card: str | None, authenticated: bool) -> Object:
    """The completed session.

    Raises StripeError (402), nothing written, for a card that is declined.
    """
    customer = _customer(call, session, email, name)
    method = None
    if card is not None:
        method = payment_methods.attach_to(call, f"pm_card_{card}", customer["id"], "payment_method")
    subscription = _subscription(call, session, customer, method, authenticated=authenticated)
    invoice = call.get("invoice", subscription["latest_invoice"], "invoice")
    customer = call.get("customer", customer["id"], "customer")
    details = {field: customer[field] for field in ("address", "email", "name", "phone", "tax_exempt")}
    changes: dict[str, Any] = {
        "customer": customer["id"],
        "customer_details": details | {"tax_ids": []},
        "invoice": invoice["id"],
        "payment_status": "paid" if invoice["amount_paid"] else "no_payment_required",
        "status": "complete",
        "subscription": subscription["id"],
        "url": None,
        "_pending": None,
    }
    done = call.put(call.new(session["object"], "cs", session | changes))
    call.emit("checkout.session.completed", done)
    return done


def _customer(call: Call, session: Object, email: str, name: str) -> Object:
    """The session's customer, or a new one; what the known one lacks is taken from the form."""
    if session["customer"] is None:
        return customers.create(call.to(email=email, name=name, preferred_locales=[]))
    customer = call.get("customer", session["customer"], "customer")
    if customer["email"] is None and email:
        return customers.update(call.to(email=email).at(customer["id"]))
    return customer


def _subscription(
    call: Call, session: Object, customer: Object, method: Object | None, *, authenticated: bool
) -> Object:
    """Made incomplete, then paid, as the page does it: `.created`, the invoice's events, `.updated`."""
    wishes = checkout_quotes.wishes(session) | {"customer": customer["id"]}
    if method is not None:
        wishes["default_payment_method"] = method["id"]
    made = subscriptions.create(call.to(**wishes))
    invoice = call.get("invoice", made["latest_invoice"], "invoice")
    if invoice["status"] == "open" and method is not None:
        charged = invoice_work.charge(call, invoice, method, authenticated=authenticated)
        if charged["status"] != "paid":
            raise _refused(method, authenticated=authenticated)
    return call.get("subscription", made["id"], "subscription")


def _refused(method: Object, *, authenticated: bool) -> errors.StripeError:
    reason = payment_methods.refusal(method, authenticated=authenticated) or "generic_decline"
    return test_cards.declined(reason)

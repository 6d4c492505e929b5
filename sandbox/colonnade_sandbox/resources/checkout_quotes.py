"""What a Checkout session costs today: found by making the subscription and undoing it."""

import re
from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import checkout_lines, customers, subscriptions
from colonnade_sandbox.store import Object


def wishes(session: Object) -> dict[str, Any]:
    """The parameters of the subscription that a session ends in, but for customer and payment."""
    items = []
    for line in session["_lines"]:
        wish = {"price": line["price"]["id"], "quantity": line["quantity"], "metadata": line["metadata"]}
        items.append({name: value for name, value in wish.items() if value})
    discounts = [{name: key for name, key in wish.items() if key} for wish in session["discounts"] or []]
    found: dict[str, Any] = {"items": items, "payment_behavior": "default_incomplete"} | session["_data"]
    return found | ({"discounts": discounts} if discounts else {})


def totals(call: Call, session: Object) -> dict[str, Any]:
    """The session's amounts, and its line items with theirs.

    Raises StripeError (400), naming the session's parameter, where the subscription could not be made.
    """
    invoice: Object = {}
    try:
        with call.sandbox.store.rehearsal():
            invoice = _first_invoice(call, session)
    except errors.StripeError as error:
        raise _renamed(error) from None
    off = sum(each["amount"] for each in invoice["total_discount_amounts"] or [])
    lines = [_priced(line, part) for line, part in zip(session["_lines"], invoice["lines"]["data"], strict=True)]
    return {
        "amount_subtotal": invoice["subtotal"],
        "amount_total": invoice["total"],
        "total_details": {"amount_discount": off, "amount_shipping": 0, "amount_tax": 0},
        "_lines": lines,
    }


def _first_invoice(call: Call, session: Object) -> Object:
    customer = session["customer"] or customers.create(call.to())["id"]
    made = subscriptions.create(call.to(customer=customer, **wishes(session)))
    return call.get("invoice", made["latest_invoice"], "invoice")


def _priced(line: Object, part: Object) -> Object:
    off = sum(each["amount"] for each in part["discount_amounts"] or [])
    amounts = {"amount_subtotal": part["amount"], "amount_discount": off, "amount_total": part["amount"] - off}
    return line | amounts


def per_period(session: Object) -> int:
    """What every period costs without discounts and trials, in the smallest unit."""
    return sum(checkout_lines.amount(line) for line in session["_lines"])


def _renamed(error: errors.StripeError) -> errors.StripeError:
    """`items[0]` of the subscription is the session's `line_items[0]`; the rest is in `subscription_data`."""
    param = error.error.get("param")
    if param and param not in ("customer", "currency") and not param.startswith("discounts"):
        head, rest = re.match(r"(\w+)(.*)", param).groups()  # type: ignore[union-attr]
        error.error["param"] = f"line_items{rest}" if head == "items" else f"subscription_data[{head}]{rest}"
    return error

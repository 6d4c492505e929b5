"""Invoices of subscriptions: made and paid, or left open, in one step."""

from collections.abc import Sequence
from typing import Any

from colonnade_sandbox import ids, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import listable, retrievable
from colonnade_sandbox.resources import payment_methods
from colonnade_sandbox.store import Object

retrievable("invoice", "/v1/invoices/{invoice}")


def subscription_of(invoice: Object) -> str | None:
    """The id of the subscription that an invoice is for."""
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    found: str | None = details.get("subscription")
    return found


listable(
    "invoice",
    "/v1/invoices",
    {
        "collection_method": lists.equal("collection_method"),
        "customer": lists.equal("customer"),
        "due_date": lists.within("due_date"),
        "status": lists.equal("status"),
        "subscription": lambda invoice, wanted: subscription_of(invoice) == wanted,
    },
)


def amount_of(item: Object) -> int:
    """What a subscription item costs for one period, in the currency's smallest unit."""
    return int(item["price"]["unit_amount"] or 0) * int(item.get("quantity", 1))


def bill(call: Call, subscription: Object, items: Sequence[Object], reason: str, *, free: bool = False) -> Object:
    """An invoice for the current period of `items`, finalised and not paid yet; `free` during a trial."""
    lines = [_line(subscription, item, free=free) for item in items]
    total = sum(line["amount"] for line in lines)
    customer = call.get("customer", subscription["customer"], "customer")
    number = customer["next_invoice_sequence"]
    call.put(customer | {"next_invoice_sequence": number + 1})
    invoice_id = ids.new("in")
    url = f"{call.sandbox.base_url}/invoice/{ids.token(24)}"
    for line in lines:
        line["invoice"] = invoice_id
    values = {
        "id": invoice_id,
        "account_name": "Sandbox platform",
        "account_country": "US",
        "amount_due": total,
        "amount_remaining": total,
        "auto_advance": subscription["collection_method"] == "charge_automatically",
        "billing_reason": reason,
        "collection_method": subscription["collection_method"],
        "currency": subscription["currency"],
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": "none",
        "effective_at": call.now,
        "hosted_invoice_url": url,
        "invoice_pdf": f"{url}/pdf",
        "issuer": {"type": "self"},
        "lines": shapes.page(lines, f"/v1/invoices/{invoice_id}/lines"),
        "metadata": {},
        "number": f"{customer['invoice_prefix']}-{number:04d}",
        "on_behalf_of": subscription["on_behalf_of"],
        "parent": _parent(subscription),
        "period_start": call.now,
        "period_end": call.now,
        "status": "open",
        "status_transitions": {"finalized_at": call.now},
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
    }
    invoice = call.add("invoice", "in", values)
    call.emit("invoice.finalized", invoice)
    return invoice


def _parent(subscription: Object) -> dict[str, Any]:
    details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
    return {"type": "subscription_details", "subscription_details": details, "quote_details": None}


def _line(subscription: Object, item: Object, *, free: bool) -> Object:
    price, amount = item["price"], 0 if free else amount_of(item)
    parent = {
        "type": "subscription_item_details",
        "subscription_item_details": {
            "proration": False,
            "subscription": subscription["id"],
            "subscription_item": item["id"],
        },
    }
    values = {
        "id": ids.new("il"),
        "object": "line_item",
        "amount": amount,
        "subtotal": amount,
        "currency": subscription["currency"],
        "discountable": True,
        "metadata": subscription["metadata"],
        "parent": parent,
        "period": {"start": item["current_period_start"], "end": item["current_period_end"]},
        "pricing": {
            "type": "price_details",
            "price_details": {"price": price["id"], "product": price["product"]},
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": item.get("quantity"),
        "subscription": subscription["id"],
    }
    return shapes.complete("line_item", values)


def collect(call: Call, invoice: Object, method: Object | None) -> Object:
    """Charge an open invoice to a payment method; the answer tells by its status whether that worked."""
    accepted = method is not None and payment_methods.card_of(method).charge is None
    if invoice["amount_remaining"] > 0 and not accepted:
        return _failed(call, invoice)
    transitions = invoice["status_transitions"] | {"paid_at": call.now}
    changes = {
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "auto_advance": False,
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + (1 if invoice["amount_due"] else 0),
        "next_payment_attempt": None,
        "status": "paid",
        "status_transitions": transitions,
    }
    paid = call.change(invoice, changes)
    call.emit("invoice.paid", paid)
    call.emit("invoice.payment_succeeded", paid)
    return paid


def _failed(call: Call, invoice: Object) -> Object:
    changes = {"attempted": True, "attempt_count": invoice["attempt_count"] + 1, "auto_advance": True}
    failed = call.change(invoice, changes)
    call.emit("invoice.payment_failed", failed)
    return failed


def chargeable(call: Call, subscription: Object) -> Object | None:
    """The payment method that the subscription's invoices are charged to."""
    customer = call.get("customer", subscription["customer"], "customer")
    chosen = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    return call.find("payment_method", chosen) if chosen else None

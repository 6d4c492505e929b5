"""Invoices by API: made by hand, changed while they are drafts, paid, voided, written off."""

from typing import Any

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.resources import (
    collection,
    discounts,
    invoice_lines,
    invoice_work,
    invoices,
    lifecycle,
    payment_methods,
)
from colonnade_sandbox.store import Object

COPIED = ("description", "due_date", "footer", "number", "statement_descriptor")
SHARED = (
    "auto_advance collection_method days_until_due default_payment_method description discounts due_date footer "
    "metadata number on_behalf_of statement_descriptor"
)

retrievable("invoice", "/v1/invoices/{invoice}")
listable(
    "invoice",
    "/v1/invoices",
    {
        "collection_method": lists.equal("collection_method"),
        "customer": lists.equal("customer"),
        "due_date": lists.within("due_date"),
        "status": lists.equal("status"),
        "subscription": lambda invoice, wanted: invoices.subscription_of(invoice) == wanted,
    },
)


@operation("GET", "/v1/invoices/{invoice}/lines", takes=lists.PAGING)
def list_lines(call: Call) -> Object:
    invoice = call.get("invoice", call.id)
    return lists.answer(call, "line_item", invoice["lines"]["data"], {}, call.url)


@operation("POST", "/v1/invoices", takes=f"{SHARED} currency customer pending_invoice_items_behavior subscription")
def create(call: Call) -> Object:
    """A draft, of the pending invoice items where `pending_invoice_items_behavior=include`."""
    params = call.params
    subscription = None
    if "subscription" in params:
        subscription = call.get("subscription", params["subscription"], "subscription")
    key = params.get("customer") or (subscription or {}).get("customer")
    if key is None:
        raise errors.missing_parameter("customer")
    customer = call.get("customer", key, "customer")
    if subscription is not None:
        billed = invoices.bill(call, subscription, [], "manual")
        return call.change(billed, _values(call, customer["id"], billed))
    currency = str(params.get("currency") or customer["currency"] or "usd").lower()
    values = {"auto_advance": False, "billing_reason": "manual", "collection_method": "charge_automatically"}
    values |= _values(call, customer["id"], {"metadata": {}}) | {"currency": currency}
    if "discounts" in params:
        values["discounts"] = discounts.take(call, params["discounts"], {"customer": customer["id"]})
    invoice = invoices.draft(call, customer, [], values)
    if params.get("pending_invoice_items_behavior") != "include":
        return invoice
    waiting = invoice_lines.pending(call, customer["id"], currency, None)
    lines = invoice_lines.take_pending(call, invoice["id"], waiting)
    return call.change(invoice, invoices.totals(call, invoice, lines))


def _values(call: Call, customer: str, current: dict[str, Any]) -> dict[str, Any]:
    params = call.params
    found: dict[str, Any] = {name: unset(params[name]) for name in COPIED if name in params}
    found |= {name: params[name] for name in ("auto_advance", "collection_method") if name in params}
    found["metadata"] = merged_metadata(current["metadata"], params.get("metadata"))
    if "days_until_due" in params:
        found["_days_until_due"] = params["days_until_due"]
    if "on_behalf_of" in params:
        account = unset(params["on_behalf_of"])
        if account is not None and call.platform not in call.sandbox.platforms_of(account):
            raise errors.no_such("account", account, "on_behalf_of")
        found["on_behalf_of"] = account
    if name := params.get("default_payment_method"):
        method = payment_methods.of_customer(call, customer, name)
        if method is None:
            raise errors.no_such("payment_method", name, "default_payment_method")
        found["default_payment_method"] = method["id"]
    return found


@operation("POST", "/v1/invoices/{invoice}", takes=SHARED)
def update(call: Call) -> Object:
    """A draft in all; a finalised invoice only in `auto_advance`, `description`, `footer` and `metadata`."""
    invoice = call.get("invoice", call.id)
    fixed = [name for name in call.params if name not in ("auto_advance", "description", "footer", "metadata")]
    if invoice["status"] != "draft" and fixed:
        text = f"Finalized invoices can't be updated in this way: {fixed[0]}"
        raise errors.invalid(text, fixed[0], "invoice_not_editable")
    changes = _values(call, invoice["customer"], invoice)
    if "auto_advance" in changes and invoice["status"] == "draft":
        changes["automatically_finalizes_at"] = call.now + invoices.DRAFT_FOR if changes["auto_advance"] else None
    if "discounts" in call.params:
        owner = {"customer": invoice["customer"], "invoice": invoice["id"]}
        changes["discounts"] = discounts.take(call, call.params["discounts"], owner, invoice["discounts"])
        changes |= invoices.totals(call, invoice | changes, invoice["lines"]["data"])
    return call.change(invoice, changes)


@operation("DELETE", "/v1/invoices/{invoice}")
def delete(call: Call) -> Object:
    invoice = _in_status(call, ("draft",), "You can only delete draft invoices.")
    for item in call.all("invoiceitem"):
        if item["invoice"] == invoice["id"]:
            call.put(item | {"invoice": None})
    return call.remove(invoice)


def _in_status(call: Call, statuses: tuple[str, ...], text: str) -> Object:
    invoice = call.get("invoice", call.id)
    if invoice["status"] not in statuses:
        raise errors.invalid(text, code="invoice_not_editable")
    return invoice


@operation("POST", "/v1/invoices/{invoice}/finalize", takes="auto_advance")
def finalize(call: Call) -> Object:
    """Opens a draft. It is charged at once where it advances by itself; an empty one is paid."""
    invoice = _in_status(
        call, ("draft",), "This invoice is already finalized, you can't re-finalize a non-draft invoice."
    )
    if "auto_advance" in call.params:
        invoice = call.put(invoice | {"auto_advance": call.params["auto_advance"]})
    if invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically":
        return invoice_work.finish(call, invoice)
    opened = invoices.finalize(call, invoice)
    return opened if opened["amount_due"] else invoice_work.charge(call, opened)


@operation("POST", "/v1/invoices/{invoice}/pay", takes="forgive off_session paid_out_of_band payment_method")
def pay(call: Call) -> Object:
    """Raises StripeError: 400 for an invoice that is not open, 402 if the card declines."""
    invoice = call.get("invoice", call.id)
    if invoice["status"] == "draft":
        invoice = invoices.finalize(call, invoice)
    if invoice["status"] not in ("open", "uncollectible"):
        text = "Invoice is already paid" if invoice["status"] == "paid" else "Invoice is not open"
        raise errors.invalid(text, code="invoice_already_paid" if invoice["status"] == "paid" else None)
    if call.params.get("paid_out_of_band"):
        return out_of_band(call, invoice)
    method = collection.payer(call, invoice)
    if name := call.params.get("payment_method"):
        method = payment_methods.of_customer(call, invoice["customer"], name)
        if method is None:
            raise errors.no_such("payment_method", name, "payment_method")
    if method is None and invoice["amount_remaining"]:
        raise lifecycle.no_payment_method()
    paid = invoice_work.charge(call, invoice, method)
    if paid["status"] != "paid":
        raise payment_methods.refused(method, "invoice").keeping()
    return paid


def out_of_band(call: Call, invoice: Object) -> Object:
    """Paid outside Stripe; for the subscription that is as good as any payment."""
    paid = collection.pay_out_of_band(call, invoice)
    subscription = call.find("subscription", invoices.subscription_of(paid) or "")
    if subscription is not None:
        invoice_work.settled(call, subscription, paid)
    return paid


def authenticate(call: Call) -> Object:
    """What the customer does on the bank's page: the open invoice is charged to a card that asked for it."""
    invoice = _in_status(call, ("open",), "Invoice is not open")
    return invoice_work.charge(call, invoice, authenticated=True)


@operation("POST", "/v1/invoices/{invoice}/send")
def send(call: Call) -> Object:
    invoice = call.get("invoice", call.id)
    if invoice["collection_method"] != "send_invoice":
        raise errors.invalid("You can only manually send an invoice if its collection method is 'send_invoice'.")
    if invoice["status"] == "draft":
        invoice = invoices.finalize(call, invoice)
    call.emit("invoice.sent", invoice)
    return invoice


@operation("POST", "/v1/invoices/{invoice}/void")
def void(call: Call) -> Object:
    text = "You can only pass in open or uncollectible invoices. This invoice isn't open or uncollectible."
    return invoices.void(call, _in_status(call, ("open", "uncollectible"), text))


@operation("POST", "/v1/invoices/{invoice}/mark_uncollectible")
def mark_uncollectible(call: Call) -> Object:
    text = "You can only mark open invoices uncollectible."
    lost = invoices.write_off(call, _in_status(call, ("open",), text))
    collection.mark_delinquent(call, lost, late=False)
    return lost

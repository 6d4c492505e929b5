"""Invoice payments: what was asked of the customer for an invoice, and whether it came."""

from typing import Any

from colonnade_sandbox import ids, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.expansion import COMPUTED
from colonnade_sandbox.operations import listable, retrievable
from colonnade_sandbox.store import Object, Store

KIND = "invoice_payment"


def _by_intent(row: Object, wanted: dict[str, Any]) -> bool:
    return bool(row["payment"].get(wanted["type"]) == wanted.get(wanted["type"]))


retrievable(KIND, "/v1/invoice_payments/{invoice_payment}")
listable(
    KIND,
    "/v1/invoice_payments",
    {"invoice": lists.equal("invoice"), "payment": _by_intent, "status": lists.equal("status")},
)


def open_for(call: Call, invoice: Object) -> Object:
    """The payment that a finalised invoice waits for. Its payment intent is an id only."""
    values = {
        "amount_paid": None,
        "amount_requested": invoice["amount_due"],
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "payment": {"type": "payment_intent", "payment_intent": ids.new("pi")},
        "status": "open",
        "status_transitions": {},
    }
    return call.add(KIND, "inpay", values, event=None)


def _of(store: Store, account: str, invoice: str) -> list[Object]:
    return [row for row in store.all(account, KIND) if row["invoice"] == invoice]


def settle(call: Call, invoice: Object) -> None:
    for row in _of(call.sandbox.store, call.account, invoice["id"]):
        changes = {
            "amount_paid": row["amount_requested"],
            "status": "paid",
            "status_transitions": row["status_transitions"] | {"paid_at": call.now},
        }
        call.change(row, changes, event="invoice_payment.paid")


def cancel(call: Call, invoice: Object) -> None:
    """The invoice needs no payment any more: voided, or paid elsewhere."""
    for row in _of(call.sandbox.store, call.account, invoice["id"]):
        transitions = row["status_transitions"] | {"canceled_at": call.now}
        call.put(row | {"status": "canceled", "status_transitions": transitions})


def _payments(store: Store, account: str, invoice: Object) -> Object:
    return shapes.page(_of(store, account, invoice["id"]), f"/v1/invoice_payments?invoice={invoice['id']}")


def _secret(store: Store, account: str, invoice: Object) -> Object | None:
    """What a browser needs to confirm the payment of an open invoice."""
    if invoice["status"] != "open":
        return None
    intents = [row["payment"]["payment_intent"] for row in _of(store, account, invoice["id"])]
    return {"client_secret": f"{intents[0]}_secret_sandbox", "type": "payment_intent"} if intents else None


COMPUTED["invoice", "payments"] = _payments
COMPUTED["invoice", "confirmation_secret"] = _secret

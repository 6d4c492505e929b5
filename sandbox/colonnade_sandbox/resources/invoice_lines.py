"""Lines of invoices: periods of subscription items, and invoice items such as prorations."""

from typing import Any

from colonnade_sandbox import ids
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.resources import price_amounts
from colonnade_sandbox.store import Object


def amount_of(item: Object, currency: str) -> int:
    """What a subscription item costs for one period, in the currency's smallest unit; usage costs nothing yet."""
    price = price_amounts.in_currency(item["price"], currency) or item["price"]
    return price_amounts.total(price, int(item.get("quantity", 0)))


def pricing(price: Object, currency: str) -> dict[str, Any]:
    price = price_amounts.in_currency(price, currency) or price
    return {
        "type": "price_details",
        "price_details": {"price": price["id"], "product": price["product"]},
        "unit_amount_decimal": price["unit_amount_decimal"],
    }


def _line(values: dict[str, Any]) -> Object:
    return shapes.complete("line_item", {"id": ids.new("il"), "object": "line_item", "livemode": False} | values)


def of_period(subscription: Object, item: Object, *, free: bool = False) -> Object:
    """The current period of a subscription item; `free` during a trial."""
    amount = 0 if free else amount_of(item, subscription["currency"])
    details = {"proration": False, "subscription": subscription["id"], "subscription_item": item["id"]}
    return _line(
        {
            "amount": amount,
            "subtotal": amount,
            "currency": subscription["currency"],
            "discountable": True,
            "metadata": subscription["metadata"],
            "parent": {"type": "subscription_item_details", "subscription_item_details": details},
            "period": {"start": item["current_period_start"], "end": item["current_period_end"]},
            "pricing": pricing(item["price"], subscription["currency"]),
            "quantity": item.get("quantity"),
            "subscription": subscription["id"],
        }
    )


def of_invoice_item(item: Object) -> Object:
    parent = (item["parent"] or {}).get("subscription_details") or {}
    subscription = parent.get("subscription")
    if parent.get("subscription_item"):
        details = {"invoice_item": item["id"], "proration": item["proration"], **parent}
        about = {"type": "subscription_item_details", "subscription_item_details": details}
    else:
        details = {"invoice_item": item["id"], "proration": item["proration"], "subscription": subscription}
        about = {"type": "invoice_item_details", "invoice_item_details": details}
    return _line(
        {
            "amount": item["amount"],
            "subtotal": item["amount"],
            "currency": item["currency"],
            "description": item["description"],
            "discountable": item["discountable"],
            "metadata": item["metadata"] or {},
            "parent": about,
            "period": item["period"],
            "pricing": item["pricing"],
            "quantity": item["quantity"],
            "subscription": subscription,
        }
    )


def pending(call: Call, customer: str, currency: str, subscription: str | None) -> list[Object]:
    """Invoice items that wait for the next invoice, oldest first; those of other subscriptions left out."""
    rows = [
        row
        for row in call.all("invoiceitem")
        if row["customer"] == customer and row["invoice"] is None and row["currency"] == currency
    ]
    wanted = (None, subscription)
    return [row for row in reversed(rows) if subscription_of(row) in wanted]


def subscription_of(item: Object) -> str | None:
    """The subscription that an invoice item is for."""
    found: str | None = ((item["parent"] or {}).get("subscription_details") or {}).get("subscription")
    return found


def take_pending(call: Call, invoice: str, items: list[Object]) -> list[Object]:
    """The lines of `items`, which from now on belong to `invoice`."""
    for item in items:
        call.put(item | {"invoice": invoice})
    return [of_invoice_item(item) for item in items]

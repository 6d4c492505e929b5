"""Invoice items: amounts that wait for the customer's next invoice."""

from typing import Any

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.resources import invoice_lines, invoices, price_amounts, prices
from colonnade_sandbox.store import Object

KIND = "invoiceitem"

retrievable(KIND, "/v1/invoiceitems/{invoiceitem}")
listable(
    KIND,
    "/v1/invoiceitems",
    {
        "customer": lists.equal("customer"),
        "invoice": lists.equal("invoice"),
        "pending": lambda row, wanted: (row["invoice"] is None) is wanted,
    },
)


def add(call: Call, customer: Object, values: dict[str, Any]) -> Object:
    """A new invoice item; `values` has at least amount, currency and period."""
    defaults = {
        "customer": customer["id"],
        "date": call.now,
        "discountable": not values.get("proration", False),
        "metadata": {},
        "quantity": 1,
        "quantity_decimal": str(values.get("quantity", 1)),
        "test_clock": customer["test_clock"],
    }
    return call.add(KIND, "ii", defaults | values)


@operation(
    "POST",
    "/v1/invoiceitems",
    takes="amount currency customer description discountable invoice metadata period pricing price_data quantity "
    "subscription unit_amount_decimal",
)
def create(call: Call) -> Object:
    """By `amount`, or by a one-time price in `pricing[price]` or `price_data`."""
    params = call.params
    if "customer" not in params:
        raise errors.missing_parameter("customer")
    customer = call.get("customer", params["customer"], "customer")
    values = _priced(call) | {
        "description": params.get("description"),
        "discountable": params.get("discountable", True),
        "metadata": merged_metadata({}, params.get("metadata")),
        "period": params.get("period", {"start": call.now, "end": call.now}),
    }
    if "subscription" in params:
        key = call.get("subscription", params["subscription"], "subscription")["id"]
        values["parent"] = {"type": "subscription_details", "subscription_details": {"subscription": key}}
    draft = _draft(call, params["invoice"]) if "invoice" in params else None
    item = add(call, customer, values)
    if draft is not None:
        lines = [*draft["lines"]["data"], *invoice_lines.take_pending(call, draft["id"], [item])]
        call.change(draft, invoices.totals(call, draft, lines))
        return call.get(KIND, item["id"])
    return item


def _priced(call: Call) -> dict[str, Any]:
    params, quantity = call.params, call.params.get("quantity", 1)
    price = None
    if "price_data" in params:
        price = prices.inline(call, params["price_data"], "price_data")
    elif "price" in params.get("pricing", {}):
        price = call.get("price", params["pricing"]["price"], "pricing[price]")
    if price is None and "amount" not in params:
        raise errors.missing_parameter("amount")
    if price is None:
        return {"amount": params["amount"], "currency": params.get("currency", "usd").lower()}
    if price["recurring"] is not None:
        text = "The price specified is set to `type=recurring` but this field only accepts prices with `type=one_time`."
        raise errors.invalid(text, "pricing[price]")
    currency = str(params.get("currency", price["currency"])).lower()
    if (charged := price_amounts.in_currency(price, currency)) is None:
        raise errors.invalid(f"The price has no amount in {currency}.", "currency")
    amount, pricing = price_amounts.total(charged, quantity), invoice_lines.pricing(price, currency)
    return {"amount": amount, "currency": currency, "pricing": pricing, "quantity": quantity}


def _draft(call: Call, key: str) -> Object:
    invoice = call.get("invoice", key, "invoice")
    if invoice["status"] != "draft":
        raise errors.invalid("You can only add items to a draft invoice.", "invoice")
    return invoice


@operation("POST", "/v1/invoiceitems/{invoiceitem}", takes="amount description discountable metadata")
def update(call: Call) -> Object:
    item = _waiting(call)
    changes: dict[str, Any] = {
        name: call.params[name] for name in ("amount", "description", "discountable") if name in call.params
    }
    changes["metadata"] = merged_metadata(item["metadata"], call.params.get("metadata"))
    return call.change(item, changes)


@operation("DELETE", "/v1/invoiceitems/{invoiceitem}")
def delete(call: Call) -> Object:
    return call.remove(_waiting(call))


def _waiting(call: Call) -> Object:
    item = call.get(KIND, call.id)
    if item["invoice"] is not None:
        raise errors.invalid("This invoice item is already on an invoice and cannot be changed.", "id")
    return item

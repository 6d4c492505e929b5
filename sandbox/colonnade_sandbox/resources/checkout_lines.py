"""Line items of a Checkout session."""

from typing import Any

from colonnade_sandbox import errors, ids
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.resources import price_amounts, subscription_lines
from colonnade_sandbox.store import Object

MOST = 999_999


def made(call: Call, given: list[dict[str, Any]]) -> list[Object]:
    """The line items that `line_items[]` asks for.

    Raises StripeError (400) naming a line without recurring price or quantity, or of another currency.
    """
    lines = [_line(call, wish, f"line_items[{index}]") for index, wish in enumerate(given)]
    for index, line in enumerate(lines):
        if line["currency"] != lines[0]["currency"]:
            text = "All prices of a Checkout Session must have the same currency."
            raise errors.invalid(text, f"line_items[{index}][price]")
    return lines


def _line(call: Call, wish: dict[str, Any], param: str) -> Object:
    price = subscription_lines.price_of(call, wish, param)
    quantity = wish.get("quantity")
    metered = price["recurring"]["usage_type"] == "metered"
    if quantity is None and not metered:
        raise errors.invalid(f"Quantity is required. Add `quantity` to `{param}`", f"{param}[quantity]")
    if quantity is not None and (metered or not 1 <= quantity <= MOST):
        text = "A metered price takes no quantity." if metered else "The quantity must be one or more."
        raise errors.invalid(text, f"{param}[quantity]")
    product = call.get("product", price["product"], f"{param}[price]")
    adjustable = wish.get("adjustable_quantity")
    values = {
        "id": ids.new("li"),
        "object": "item",
        "adjustable_quantity": {"enabled": False, "maximum": None, "minimum": None} | (adjustable or {}),
        "currency": price["currency"],
        "description": product["name"],
        "metadata": merged_metadata({}, wish.get("metadata")),
        "price": price,
        "quantity": quantity,
    }
    return shapes.complete("item", values)


def with_quantity(line: Object, quantity: int) -> Object:
    """Raises StripeError (400) for a quantity out of the line's bounds."""
    bounds = line["adjustable_quantity"]
    least, most = bounds["minimum"] or 1, bounds["maximum"] or 99
    if not bounds["enabled"] or not least <= quantity <= most:
        raise errors.invalid(f"The quantity must be between {least} and {most}.", "quantity")
    return line | {"quantity": quantity}


def amount(line: Object) -> int:
    """What a line costs for one period, in the smallest unit; usage is not known yet."""
    return price_amounts.total(line["price"], line["quantity"] or 0)

"""The discount of a customer, which applies to subscriptions that have none of their own.

By API only versions before 2025-03-31 give one, with `coupon` or `promotion_code`; all versions can take it away.
"""

from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import discounts
from colonnade_sandbox.store import Object

PARAMETERS = ("coupon", "promotion_code")
TAKEN = " ".join(PARAMETERS)


def of(customer: Object) -> list[str]:
    return [customer["discount"]["id"]] if customer["discount"] else []


def changes(call: Call, customer: Object) -> dict[str, Any]:
    """What the parameters make of the customer's discount; an empty value takes it away.

    Raises StripeError (400) naming what cannot be redeemed.
    """
    name = next((name for name in PARAMETERS if name in call.params), None)
    if name is None:
        return {}
    if not call.params[name]:
        _end(call, customer)
        return {"discount": None}
    wish, owner = {name: call.params[name]}, {"customer": customer["id"]}
    return {"discount": discounts.one(call, wish, owner, replaces=customer["discount"])}


def _end(call: Call, customer: Object) -> None:
    for key in of(customer):
        discounts.end(call, key)


def spend(call: Call, customer: Object) -> None:
    """After an invoice that it took something off: `once` is used up, and `repeating` runs out in time."""
    if not discounts.spent(call, of(customer), call.now):
        call.change(call.get("customer", customer["id"], "customer"), {"discount": None})


@operation("DELETE", "/v1/customers/{customer}/discount")
def delete(call: Call) -> Object:
    customer = call.get("customer", call.id)
    if customer["discount"] is None:
        raise errors.no_such(discounts.KIND, customer["id"])
    call.change(customer, {"discount": None})
    _end(call, customer)
    return {"id": customer["discount"]["id"], "object": discounts.KIND, "deleted": True}

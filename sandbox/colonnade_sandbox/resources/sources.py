"""Card sources, which older integrations put on a customer instead of payment methods.

A source is kept twice under one id: as the `card` that these routes show, and as the payment method that charges
take it for, as Stripe does with `card_…` ids.
"""

from typing import Any

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import payment_methods, test_cards
from colonnade_sandbox.store import Object

PATH = "/v1/customers/{customer}/sources"
COPIED = ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "regulated_status")


def add(call: Call, customer: Object, token: str) -> Object:
    """A card of the customer from `tok_…`.

    Raises StripeError: 400 for an unknown token, 402 for a card that declines.
    """
    name = test_cards.magic(token)
    if name is None:
        raise errors.no_such("token", token, "source")
    method = payment_methods.card_values(call, name, {}) | {"id": ids.new("card"), "customer": customer["id"]}
    method = call.new("payment_method", "pm", method)
    if (decline := payment_methods.card_of(method).attach) is not None:
        raise test_cards.declined(decline)
    call.put(method)
    values: dict[str, Any] = {field: method["card"][field] for field in COPIED}
    values |= {"id": method["id"], "object": "card", "customer": customer["id"], "cvc_check": "pass", "metadata": {}}
    values |= {"brand": method["card"]["brand"].title()}
    card = call.put(shapes.complete("card", values))
    call.emit("customer.source.created", card)
    return card


def _owned(call: Call) -> Object:
    customer = call.get("customer", call.path["customer"], "customer", in_path=True)
    card = call.get("card", call.path["id"])
    if card["customer"] != customer["id"]:
        raise errors.no_such("source", card["id"])
    return card


@operation("POST", PATH, takes="metadata source")
def create(call: Call) -> Object:
    """The first one becomes the customer's default."""
    customer = call.get("customer", call.id, "customer", in_path=True)
    card = add(call, customer, call.params["source"])
    if metadata := merged_metadata({}, call.params.get("metadata")):
        card = call.put(card | {"metadata": metadata})
    if customer["default_source"] is None:
        call.change(customer, {"default_source": card["id"]})
    return card


@operation("GET", PATH, takes=lists.PAGING)
def list_all(call: Call) -> Object:
    customer = call.get("customer", call.id, "customer", in_path=True)
    rows = (row for row in call.all("card") if row["customer"] == customer["id"])
    return lists.answer(call, "source", rows, {}, call.url)


@operation("GET", f"{PATH}/{{id}}")
def retrieve(call: Call) -> Object:
    return _owned(call)


@operation("POST", f"{PATH}/{{id}}", takes="exp_month exp_year metadata name")
def update(call: Call) -> Object:
    card, params = _owned(call), call.params
    changes: dict[str, Any] = {"metadata": merged_metadata(card["metadata"], params.get("metadata"))}
    changes |= {name: params[name] for name in ("name",) if name in params}
    changes |= {name: int(params[name]) for name in ("exp_month", "exp_year") if name in params}
    return call.change(card, changes, event="customer.source.updated")


@operation("DELETE", f"{PATH}/{{id}}")
def delete(call: Call) -> Object:
    card = _owned(call)
    customer = call.get("customer", card["customer"])
    if customer["default_source"] == card["id"]:
        following = next(
            (row["id"] for row in call.all("card") if row["customer"] == customer["id"] and row != card), None
        )
        call.change(customer, {"default_source": following})
    call.remove(call.get("payment_method", card["id"]), event=None)
    return call.remove(card, event="customer.source.deleted")

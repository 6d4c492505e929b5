"""Payment methods: test cards, by magic id, token or number."""

from typing import Any

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.resources import test_cards
from colonnade_sandbox.store import Object

retrievable("payment_method", "/v1/payment_methods/{payment_method}", "payment_method")
listable("payment_method", "/v1/payment_methods", {"customer": lists.equal("customer"), "type": lists.equal("type")})


def card_of(method: Object) -> test_cards.Card:
    return test_cards.CARDS[method["_card"]]


# The refusal of a charge that the customer has to authenticate first.
AUTHENTICATION = "authentication_required"


def refusal(method: Object | None, *, authenticated: bool = False) -> str | None:
    """Why a charge fails: a decline code, `authentication_required`, or None where it goes through."""
    if method is None:
        return "generic_decline"
    card = card_of(method)
    return AUTHENTICATION if card.secure and not authenticated else card.charge


def refused(method: Object | None, subject: str) -> errors.StripeError:
    """The error (402) of a charge for `subject`: an `invoice` or a `subscription`."""
    reason = refusal(method) or "generic_decline"
    if reason != AUTHENTICATION:
        return test_cards.declined(reason)
    text = (
        "This payment requires additional user action before it can be completed successfully. Payment can be "
        "completed using the PaymentIntent associated with the " + subject + "."
    )
    return errors.StripeError(402, text, type="card_error", code=f"{subject}_payment_intent_requires_action")


def card_values(call: Call, name: str, given: dict[str, Any]) -> dict[str, Any]:
    card = test_cards.CARDS[name]
    details = {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": given.get("exp_month", 12),
        "exp_year": given.get("exp_year", 2034),
        "fingerprint": ids.derived("req", card.number).removeprefix("req_"),
        "funding": card.funding,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
    }
    return {"type": "card", "card": details, "billing_details": {}, "metadata": {}, "customer": None, "_card": name}


@operation("POST", "/v1/payment_methods", takes="type card billing_details metadata allow_redisplay")
def create(call: Call) -> Object:
    """Cards only, by `card[token]` or `card[number]`."""
    if call.params.get("type") != "card":
        raise errors.StripeError(501, "Only cards are implemented by this sandbox.", type="api_error", param="type")
    card = call.params.get("card", {})
    name = test_cards.magic(card.get("token", "")) or test_cards.NUMBERS.get(card.get("number", ""))
    if name is None:
        raise errors.StripeError(
            402, "Your card number is incorrect.", type="card_error", code="incorrect_number", param="card[number]"
        )
    values = card_values(call, name, card) | {"metadata": merged_metadata({}, call.params.get("metadata"))}
    values["billing_details"] = call.params.get("billing_details", {})
    if "allow_redisplay" in call.params:
        values["allow_redisplay"] = call.params["allow_redisplay"]
    return call.add("payment_method", "pm", values, event=None)


@operation("POST", "/v1/payment_methods/{payment_method}", takes="billing_details card metadata allow_redisplay")
def update(call: Call) -> Object:
    method = call.get("payment_method", call.id, "payment_method", in_path=True)
    changes: dict[str, Any] = {"metadata": merged_metadata(method["metadata"], call.params.get("metadata"))}
    for name in ("billing_details", "card"):
        if name in call.params:
            changes[name] = method[name] | call.params[name]
    return call.change(method, shapes.complete("payment_method", method | changes))


@operation("POST", "/v1/payment_methods/{payment_method}/attach", takes="customer")
def attach(call: Call) -> Object:
    customer = call.params.get("customer")
    if customer is None:
        raise errors.missing_parameter("customer")
    call.get("customer", customer, "customer")
    if test_cards.magic(call.id) is None:
        call.get("payment_method", call.id, "payment_method", in_path=True)
    return attach_to(call, call.id, customer, "payment_method")


def attach_to(call: Call, value: str, customer: str, param: str) -> Object:
    """Attach a payment method, or a new one where `value` is a magic id.

    Raises StripeError: 402 for a card that declines, 400 for one that another customer has.
    """
    name = test_cards.magic(value)
    if name is not None:
        method = call.put(call.new("payment_method", "pm", card_values(call, name, {})))
    else:
        method = call.get("payment_method", value, param)
    if (decline := card_of(method).attach) is not None:
        raise test_cards.declined(decline)
    if method["customer"] not in (None, customer):
        raise errors.invalid("The payment method you provided has already been attached to a customer.", param)
    attached = call.put(method | {"customer": customer})
    call.emit("payment_method.attached", attached)
    return attached


@operation("POST", "/v1/payment_methods/{payment_method}/detach")
def detach(call: Call) -> Object:
    method = call.get("payment_method", call.id, "payment_method", in_path=True)
    if method["customer"] is None:
        text = "The payment method you provided is not attached to a customer so detachment is impossible."
        raise errors.invalid(text, "payment_method")
    customer = call.get("customer", method["customer"], "customer")
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        settings = customer["invoice_settings"] | {"default_payment_method": None}
        call.change(customer, {"invoice_settings": settings})
    return call.change(method, {"customer": None}, event="payment_method.detached")


def of_customer(call: Call, customer: str, value: str) -> Object | None:
    """An attached payment method by id; a magic id means the newest of that card."""
    name = test_cards.magic(value)
    for method in call.all("payment_method"):
        if method["customer"] == customer and (method["id"] == value or (name and method["_card"] == name)):
            return method
    return None


@operation("GET", "/v1/customers/{customer}/payment_methods", takes=f"{lists.PAGING} type")
def list_of_customer(call: Call) -> Object:
    customer = call.get("customer", call.id)
    rows = (row for row in call.all("payment_method") if row["customer"] == customer["id"])
    return lists.answer(call, "payment_method", rows, {"type": lists.equal("type")}, call.url)


@operation("GET", "/v1/customers/{customer}/payment_methods/{payment_method}")
def retrieve_of_customer(call: Call) -> Object:
    method = call.get("payment_method", call.path["payment_method"], "payment_method", in_path=True)
    if method["customer"] != call.id:
        raise errors.no_such("payment_method", method["id"], "payment_method", in_path=True)
    return method

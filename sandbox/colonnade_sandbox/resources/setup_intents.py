"""Setup intents: a card is checked and kept for later. Test cards decide at once how that ends."""

from typing import Any

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import listable, operation, retrievable
from colonnade_sandbox.resources import payment_methods, test_cards
from colonnade_sandbox.store import Object

PATH = "/v1/setup_intents"
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
COPIED = ("description", "usage")

retrievable("setup_intent", f"{PATH}/{{intent}}", "intent")
listable("setup_intent", PATH, {"customer": lists.equal("customer"), "payment_method": lists.equal("payment_method")})


TAKEN = "confirm customer description metadata payment_method payment_method_types return_url usage"


@operation("POST", PATH, takes=TAKEN)
def create(call: Call) -> Object:
    params = call.params
    if params.get("payment_method_types", ["card"]) != ["card"]:
        raise errors.parameter_not_implemented("payment_method_types")
    if (customer := params.get("customer")) is not None:
        call.get("customer", customer, "customer")
    values: dict[str, Any] = {name: params[name] for name in COPIED if name in params}
    values |= {
        "customer": customer,
        "metadata": merged_metadata({}, params.get("metadata")),
        "payment_method": _method(call),
        "payment_method_types": ["card"],
        "status": "requires_confirmation" if "payment_method" in params else "requires_payment_method",
        "usage": params.get("usage", "off_session"),
    }
    intent = call.new("setup_intent", "seti", values)
    intent |= {"client_secret": f"{intent['id']}_secret_{ids.token(25)}"}
    call.put(intent)
    call.emit("setup_intent.created", intent)
    return _confirmed(call, intent) if params.get("confirm") else intent


def _method(call: Call) -> str | None:
    """The payment method that is named, a new one where it is a test card's magic id."""
    named = call.params.get("payment_method")
    if named is None:
        return None
    if (name := test_cards.magic(named)) is None:
        return str(call.get("payment_method", named, "payment_method")["id"])
    return str(call.put(call.new("payment_method", "pm", payment_methods.card_values(call, name, {})))["id"])


@operation("POST", f"{PATH}/{{intent}}/confirm", takes="payment_method return_url")
def confirm(call: Call) -> Object:
    intent = _open(call)
    if (method := _method(call)) is not None:
        intent = call.put(intent | {"payment_method": method})
    if intent["payment_method"] is None:
        raise errors.missing_parameter("payment_method")
    return _confirmed(call, intent)


def _confirmed(call: Call, intent: Object) -> Object:
    """Raises StripeError (402) for a card that declines; the intent stays, and waits for another one."""
    if intent["payment_method"] is None:
        raise errors.missing_parameter("payment_method")
    method = call.get("payment_method", intent["payment_method"], "payment_method")
    card = payment_methods.card_of(method)
    if card.attach is not None:
        raise _failed(call, intent, test_cards.declined(card.attach))
    if card.secure:
        changed = call.change(intent, {"status": "requires_action"}, event=None)
        call.emit("setup_intent.requires_action", changed)
        return changed
    if intent["customer"] is not None:
        payment_methods.attach_to(call, method["id"], intent["customer"], "payment_method")
    done = call.change(intent, {"status": "succeeded"}, event=None)
    call.emit("setup_intent.succeeded", done)
    return done


def _failed(call: Call, intent: Object, refusal: errors.StripeError) -> errors.StripeError:
    told = {name: value for name, value in refusal.error.items() if value != ""}
    changes = {"status": "requires_payment_method", "payment_method": None, "last_setup_error": told}
    failed = call.change(intent, shapes.complete("setup_intent", intent | changes), event=None)
    call.emit("setup_intent.setup_failed", failed)
    return refusal.keeping()


@operation("POST", f"{PATH}/{{intent}}/cancel", takes="cancellation_reason")
def cancel(call: Call) -> Object:
    reason = call.params.get("cancellation_reason")
    canceled = call.change(_open(call), {"status": "canceled", "cancellation_reason": reason}, event=None)
    call.emit("setup_intent.canceled", canceled)
    return canceled


def _open(call: Call) -> Object:
    intent = call.get("setup_intent", call.id, "intent", in_path=True)
    if intent["status"] not in OPEN:
        text = f"This SetupIntent has a status of {intent['status']} and can no longer be changed."
        raise errors.invalid(text, code="setup_intent_unexpected_state")
    return intent

"""Checkout sessions in subscription mode: a hosted page that ends in a subscription."""

from typing import Any

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call, merged_metadata
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.expansion import COMPUTED
from colonnade_sandbox.operations import operation, retrievable
from colonnade_sandbox.resources import checkout_lines, checkout_quotes
from colonnade_sandbox.resources.billing_portal_rules import check_url
from colonnade_sandbox.store import Object, Store

KIND = "checkout.session"
HALF_HOUR, DAY = 1800, 24 * 3600
DATA = (
    "application_fee_percent billing_mode description metadata on_behalf_of proration_behavior transfer_data trial_end "
    "trial_period_days trial_settings"
)
PLAIN = (
    "allow_promotion_codes cancel_url client_reference_id customer_email locale origin_context success_url submit_type"
)
TAKEN = f"{PLAIN} currency customer discounts expires_at metadata mode payment_method_collection ui_mode " + " ".join(
    [f"line_items[{name}]" for name in ("adjustable_quantity", "metadata", "price", "price_data", "quantity")]
    + [f"subscription_data[{name}]" for name in DATA.split()]
)
EXCLUSIVE = (("customer", "customer_email"), ("allow_promotion_codes", "discounts"))

retrievable(KIND, "/v1/checkout/sessions/{session}")


@operation(
    "GET", "/v1/checkout/sessions", takes=f"{lists.PAGING} created customer customer_details status subscription"
)
def list_all(call: Call) -> Object:
    filters: dict[str, lists.Filter] = {
        "created": lists.within("created"),
        "customer": lists.equal("customer"),
        "customer_details": lambda row, wanted: (row["customer_details"] or {}).get("email") == wanted["email"],
        "status": lists.equal("status"),
        "subscription": lists.equal("subscription"),
    }
    return lists.answer(call, KIND, call.all(KIND), filters, "/v1/checkout/sessions")


@operation("POST", "/v1/checkout/sessions", takes=TAKEN)
def create(call: Call) -> Object:
    """Raises StripeError: 400 naming what the page could not carry out, 501 for the other modes."""
    params = call.params
    # A session lives by the sandbox's own time, also for a customer on a test clock.
    now = call.sandbox.clock.now()
    _check(call, now)
    session = f"cs_test_{ids.token(58)}"
    lines = checkout_lines.made(call, params["line_items"])
    values: dict[str, Any] = {name: params[name] for name in PLAIN.split() if name in params}
    values |= {
        "id": session,
        "created": now,
        "automatic_tax": {"enabled": False},
        "currency": lines[0]["currency"],
        "custom_fields": [],
        "customer": params.get("customer"),
        "discounts": [{"coupon": None, "promotion_code": None} | wish for wish in params.get("discounts") or []],
        "expires_at": params.get("expires_at", now + DAY),
        "metadata": merged_metadata({}, params.get("metadata")),
        "mode": "subscription",
        "payment_method_collection": params.get("payment_method_collection", "always"),
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "status": "open",
        "ui_mode": "hosted_page",
        "url": f"{call.sandbox.base_url}/c/pay/{session}",
        "_data": params.get("subscription_data", {}),
        "_lines": lines,
        "_platform": call.platform,
    }
    draft = call.new(KIND, "cs", values)
    return call.put(draft | checkout_quotes.totals(call, draft))


def _check(call: Call, now: int) -> None:
    params = call.params
    if params.get("mode", "subscription") != "subscription":
        raise errors.parameter_not_implemented("mode")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise errors.parameter_not_implemented("ui_mode")
    for name in ("mode", "line_items", "success_url"):
        if not params.get(name):
            raise errors.missing_parameter(name)
    for pair in EXCLUSIVE:
        if all(params.get(name) for name in pair):
            text = f"You may only specify one of these parameters: {', '.join(pair)}."
            raise errors.invalid(text, pair[1])
    for name in ("success_url", "cancel_url"):
        check_url(params.get(name), name)
    if "customer" in params:
        call.get("customer", params["customer"], "customer")
    if len(params.get("discounts") or []) > 1:
        raise errors.invalid("You may only specify one discount.", "discounts")
    if "expires_at" in params and not now + HALF_HOUR <= params["expires_at"] <= now + DAY:
        text = "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation."
        raise errors.invalid(text, "expires_at")


@operation("POST", "/v1/checkout/sessions/{session}", takes="metadata")
def update(call: Call) -> Object:
    session = call.get(KIND, call.id)
    return call.put(session | {"metadata": merged_metadata(session["metadata"], call.params.get("metadata"))})


@operation("POST", "/v1/checkout/sessions/{session}/expire")
def expire(call: Call) -> Object:
    session = call.get(KIND, call.id)
    if session["status"] != "open":
        text = (
            'Only Checkout Sessions with a status in ["open"] can be expired. '
            f"This Session has a status of {session['status']}."
        )
        raise errors.invalid(text)
    return work(call, session)


def due_at(session: Object) -> int | None:
    return session["expires_at"] if session["status"] == "open" else None


def work(call: Call, session: Object) -> Object:
    """The session is over and nobody paid."""
    return call.change(session, {"status": "expired", "url": None}, event="checkout.session.expired")


@operation("GET", "/v1/checkout/sessions/{session}/line_items", takes=lists.PAGING)
def line_items(call: Call) -> Object:
    session = call.get(KIND, call.id)
    return lists.answer(call, "item", session["_lines"], {}, f"/v1/checkout/sessions/{session['id']}/line_items")


def _line_items(store: Store, account: str, session: Object) -> Object:
    found = store.find(account, KIND, session["id"]) or {"_lines": []}
    return shapes.page(found["_lines"][:10], f"/v1/checkout/sessions/{session['id']}/line_items")


COMPUTED[KIND, "line_items"] = _line_items

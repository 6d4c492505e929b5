"""Updates that wait for their payment (`payment_behavior=pending_if_incomplete`)."""

from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call
from colonnade_sandbox.clock import HOUR
from colonnade_sandbox.resources import invoices, lifecycle
from colonnade_sandbox.store import Object

# A pending update that is not paid within this time is dropped (Stripe docs, "Pending updates").
KEPT = 23 * HOUR
# What may wait; anything else in the same call is refused (same page).
SUPPORTED = {"cancel_at_period_end", "discounts", "items", "metadata", "off_session", "payment_behavior"}
SUPPORTED |= {"proration_behavior", "proration_date", "trial_end"}


def check(params: dict[str, Any]) -> None:
    """Raises StripeError (400) for a parameter that cannot wait for a payment."""
    if params.get("payment_behavior") != "pending_if_incomplete":
        return
    for name in params:
        if name not in SUPPORTED:
            text = f"You cannot set `{name}` when `payment_behavior=pending_if_incomplete`."
            raise errors.invalid(text, name)


def hold(call: Call, subscription: Object, changes: dict[str, Any], invoice: Object) -> Object:
    """Keep `changes` for when `invoice` is paid; the subscription stays as it is."""
    shown = {
        "cancel_at_period_end": None,
        "expires_at": call.now + KEPT,
        "subscription_items": changes["items"]["data"] if "items" in changes else None,
        "trial_end": changes.get("trial_end"),
        "billing_cycle_anchor": changes.get("billing_cycle_anchor"),
        "trial_from_plan": None,
        "discounts": changes.get("discounts"),
        "metadata": None,
        "discount": None,
    }
    held = {"changes": changes, "invoice": invoice["id"]}
    changed = {"pending_update": shown, "latest_invoice": invoice["id"], "_pending": held}
    return lifecycle.change(call, subscription, changed)


def apply(call: Call, subscription: Object) -> Object:
    """The payment came."""
    held = subscription["_pending"]
    wanted = held["changes"] | {"latest_invoice": held["invoice"], "pending_update": None, "_pending": None}
    changed = lifecycle.change(call, subscription, wanted)
    call.emit("customer.subscription.pending_update_applied", changed)
    return changed


def drop(call: Call, subscription: Object) -> Object:
    """Nobody paid in time: the invoice is void, and nothing was changed."""
    invoice = call.find("invoice", subscription["_pending"]["invoice"])
    if invoice is not None and invoice["status"] == "open":
        invoices.void(call, invoice)
    changed = lifecycle.change(call, subscription, {"pending_update": None, "_pending": None})
    call.emit("customer.subscription.pending_update_expired", changed)
    return changed

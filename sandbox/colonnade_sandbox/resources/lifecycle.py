"""What every way of changing a subscription shares: cancelling, keeping, ending, pausing."""

from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.call import Call
from colonnade_sandbox.store import Object

ENDED = frozenset({"canceled", "incomplete_expired"})


def change(call: Call, subscription: Object, changes: dict[str, Any]) -> Object:
    """Store a changed subscription; `customer.subscription.updated` follows."""
    return call.change(subscription, changes, event="customer.subscription.updated")


def of_customer(call: Call, customer: str) -> list[Object]:
    """The customer's subscriptions that have not ended, newest first."""
    rows = call.all("subscription")
    return [row for row in rows if row["customer"] == customer and row["status"] not in ENDED]


def no_payment_method() -> errors.StripeError:
    text = (
        "This customer has no attached payment source or default payment method. Please consider adding a default "
        "payment method. For more information, visit https://stripe.com/docs/billing/subscriptions/payment-methods-setting."
    )
    return errors.invalid(text, code="resource_missing")


def period_end(subscription: Object) -> int:
    """When everything that is paid for has run out: the latest period end of the items."""
    return max(int(item["current_period_end"]) for item in subscription["items"]["data"])


def cancellation(subscription: Object, now: int, *, in_portal: bool = False) -> dict[str, Any]:
    """The changes that cancel at the end of the period.

    In the portal a flexible subscription gets `cancel_at` alone; by API, and on classic billing, the flag is
    set as well (Stripe docs, "Compare classic and flexible billing mode").
    """
    flexible = subscription["billing_mode"]["type"] == "flexible"
    return {
        "cancel_at": period_end(subscription),
        "cancel_at_period_end": not (in_portal and flexible),
        "canceled_at": now,
    }


def schedule_cancellation(
    call: Call, subscription: Object, *, in_portal: bool = False, details: dict[str, Any] | None = None
) -> Object:
    """Cancel at the end of the period; `details` are the answers `feedback` and `comment`."""
    reasons = subscription["cancellation_details"] | {"reason": "cancellation_requested"} | (details or {})
    changes = cancellation(subscription, call.now, in_portal=in_portal)
    return change(call, subscription, changes | {"cancellation_details": reasons})


KEPT: dict[str, Any] = {
    "cancel_at": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "cancellation_details": {"comment": None, "feedback": None, "feedback_option": None, "reason": None},
}


def keep(call: Call, subscription: Object) -> Object:
    """Take back a scheduled cancellation."""
    return change(call, subscription, KEPT)


def end(call: Call, subscription: Object, details: dict[str, Any], *, status: str = "canceled") -> Object:
    """Cancel now: one event, `customer.subscription.deleted`, and no `.updated`."""
    reasons = subscription["cancellation_details"] | {"reason": "cancellation_requested"} | details
    _cancel_schedule(call, subscription, "aborted" if reasons["reason"] == "payment_failed" else "canceled")
    ended = call.put(
        subscription
        | {
            "status": status,
            "cancel_at": subscription["cancel_at"] if subscription["cancel_at"] == call.now else None,
            "cancel_at_period_end": False,
            "canceled_at": subscription["canceled_at"] or call.now,
            "ended_at": call.now,
            "cancellation_details": reasons,
            "pending_update": None,
            "schedule": None,
        }
    )
    call.emit("customer.subscription.deleted", ended)
    _stop_collecting(call, subscription)
    return ended


def _cancel_schedule(call: Call, subscription: Object, how: str) -> None:
    """Stripe calls it aborted where nobody paid (Events reference, `subscription_schedule.aborted`)."""
    schedule = call.find("subscription_schedule", subscription["schedule"] or "")
    if schedule is not None and schedule["status"] == "active":
        changes = {"status": "canceled", "canceled_at": call.now, "current_phase": None}
        call.emit(f"subscription_schedule.{how}", call.put(schedule | changes))


def _stop_collecting(call: Call, subscription: Object) -> None:
    """What is still owed stays owed, but nothing is charged by itself any more."""
    for invoice in call.all("invoice"):
        if invoice["status"] in ("draft", "open") and of_invoice(invoice) == subscription["id"]:
            call.change(invoice, {"auto_advance": False, "next_payment_attempt": None})


def of_invoice(invoice: Object) -> str | None:
    """The id of the subscription that an invoice is for."""
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    found: str | None = details.get("subscription")
    return found


def pause(call: Call, subscription: Object, why: str) -> Object:
    """Stop everything; `why` is one of Stripe's `status_details.paused.subscription` types."""
    details = {"paused": {"subscription": {"type": why}, "transitioned_at": call.now, "type": "subscription"}}
    paused = change(call, subscription, {"status": "paused", "status_details": details})
    call.emit("customer.subscription.paused", paused)
    return paused


def resumed(call: Call, subscription: Object) -> Object:
    """A paused subscription runs again."""
    without = {name: value for name, value in subscription.items() if name not in ("status_details", "_resuming")}
    running = call.put(without | {"status": "active"})
    previous = {"status": "paused", "status_details": subscription.get("status_details")}
    call.emit("customer.subscription.updated", running, previous)
    call.emit("customer.subscription.resumed", running)
    return running

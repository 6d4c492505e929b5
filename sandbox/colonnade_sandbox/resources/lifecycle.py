"""How subscriptions go on: cancellation, payment, and the work that falls due as time passes."""

from typing import Any

from colonnade_sandbox import errors, periods
from colonnade_sandbox.call import Call
from colonnade_sandbox.resources import invoices
from colonnade_sandbox.store import Object

ENDED = frozenset({"canceled", "incomplete_expired"})
DAY = 24 * 3600
# Stripe gives a first payment this long (Stripe docs, "How subscriptions work").
INCOMPLETE_FOR = 23 * 3600
TRIAL_NOTICE = 3 * DAY


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
    ended = call.put(
        subscription
        | {
            "status": status,
            "cancel_at": subscription["cancel_at"] if subscription["cancel_at"] == call.now else None,
            "cancel_at_period_end": False,
            "canceled_at": subscription["canceled_at"] or call.now,
            "ended_at": call.now,
            "cancellation_details": reasons,
        }
    )
    call.emit("customer.subscription.deleted", ended)
    return ended


def paid(call: Call, subscription: Object, invoice: Object) -> Object:
    """An open invoice was paid: the newest one settles what the subscription is."""
    if subscription["latest_invoice"] != invoice["id"] or subscription["status"] in ENDED | {"trialing", "active"}:
        return subscription
    return change(call, subscription, {"status": "active"})


def due_at(subscription: Object) -> int | None:
    """When the next work on a subscription falls due."""
    if subscription["status"] in ENDED:
        return None
    if subscription["status"] == "incomplete":
        return int(subscription["created"]) + INCOMPLETE_FOR
    moments = [item["current_period_end"] for item in subscription["items"]["data"]]
    if subscription["cancel_at"] is not None:
        moments.append(subscription["cancel_at"])
    if subscription["status"] == "trialing" and not subscription["_trial_noticed"]:
        moments.append(subscription["trial_end"] - TRIAL_NOTICE)
    return min(moments, default=None)


def work(call: Call, subscription: Object) -> None:
    """Do what is due now; called with the clock at the moment that `due_at` gave."""
    now = call.now
    if subscription["status"] == "incomplete":
        _expire(call, subscription)
    elif subscription["cancel_at"] is not None and subscription["cancel_at"] <= now:
        end(call, subscription, {})
    elif any(item["current_period_end"] <= now for item in subscription["items"]["data"]):
        renew(call, subscription)
    else:
        call.put(subscription | {"_trial_noticed": True})
        call.emit("customer.subscription.trial_will_end", subscription)


def _expire(call: Call, subscription: Object) -> None:
    expired = {"status": "incomplete_expired", "ended_at": call.now}
    change(call, subscription, expired)
    invoice = call.find("invoice", subscription["latest_invoice"])
    if invoice is not None and invoice["status"] == "open":
        call.change(invoice, {"status": "void"}, event="invoice.voided")


def renew(call: Call, subscription: Object) -> Object:
    """Bill the next period of the items whose period is over; a trial that ends does the same."""
    now, anchor = call.now, subscription["billing_cycle_anchor"]
    if subscription["status"] == "trialing" and _ends_without_card(call, subscription):
        return end(call, subscription, {})
    moved = []
    for item in subscription["items"]["data"]:
        if item["current_period_end"] <= now:
            until = periods.after(anchor, item["price"]["recurring"], item["current_period_end"])
            item = item | {"current_period_start": item["current_period_end"], "current_period_end": until}
            moved.append(item)
    data = [next((m for m in moved if m["id"] == old["id"]), old) for old in subscription["items"]["data"]]
    renewed = subscription | {"items": subscription["items"] | {"data": data}}
    invoice = invoices.bill(call, renewed, moved, "subscription_cycle")
    status = settle(call, subscription, invoice)
    changes = {"items": renewed["items"], "latest_invoice": invoice["id"], "status": status}
    return change(call, subscription, changes)


def _ends_without_card(call: Call, subscription: Object) -> bool:
    behaviour = (subscription["trial_settings"] or {}).get("end_behavior", {}).get("missing_payment_method")
    return behaviour == "cancel" and invoices.chargeable(call, subscription) is None


def settle(call: Call, subscription: Object, invoice: Object) -> str:
    """Collect an invoice of a running subscription; the status that follows."""
    if subscription["collection_method"] == "send_invoice":
        return "active"
    collected = invoices.collect(call, invoice, invoices.chargeable(call, subscription))
    return "active" if collected["status"] == "paid" else "past_due"

"""Pausing a subscription as a whole, resuming it, and its migration to flexible billing."""

from typing import Any

from colonnade_sandbox import errors, periods
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import (
    invoice_work,
    invoices,
    lifecycle,
    prorations,
    renewals,
    schedule_rules,
    subscription_lines,
)
from colonnade_sandbox.store import Object


@operation("POST", "/v1/subscriptions/{subscription}/pause", takes="bill_for[unused_time_from] invoicing_behavior type")
def pause(call: Call) -> Object:
    """Nothing is billed until it is resumed; `bill_for[unused_time_from]` other than `none` credits what is left."""
    subscription = call.get("subscription", call.id)
    schedule_rules.check_pausable(call, subscription)
    unused = call.params.get("bill_for", {}).get("unused_time_from", {}).get("type", "none")
    credited = [] if unused == "none" else prorations.credit(call, subscription, call.now)
    paused = lifecycle.pause(call, subscription, "pause_requested")
    if credited and call.params.get("invoicing_behavior") == "invoice":
        invoice_work.finish(call, invoices.bill(call, paused, [], "subscription_update"))
    return call.get("subscription", paused["id"])


@operation(
    "POST",
    "/v1/subscriptions/{subscription}/resume",
    takes="billing_cycle_anchor payment_behavior proration_behavior",
)
def resume(call: Call) -> Object:
    """A new period begins and is billed, unless the cycle is unchanged and its period still runs.

    With `resume_on_payment_success`, the default, a payment that fails leaves it paused until the invoice is paid.
    """
    subscription = call.get("subscription", call.id)
    if subscription["status"] != "paused":
        raise errors.invalid("Only paused subscriptions can be resumed.")
    anew = call.params.get("billing_cycle_anchor", {}).get("type", "now") == "now"
    moved = [_from_now(call, subscription, item, anew=anew) for item in subscription["items"]["data"]]
    begun = [new for new, old in zip(moved, subscription["items"]["data"], strict=True) if new != old]
    if not begun:
        return lifecycle.resumed(call, subscription)
    items = subscription_lines.page(subscription["id"], moved)
    anchor = call.now if anew else subscription["billing_cycle_anchor"]
    waiting = call.put(subscription | {"items": items, "billing_cycle_anchor": anchor, "_resuming": True})
    if call.params.get("payment_behavior") == "resume_on_payment_attempt":
        waiting = lifecycle.resumed(call, waiting)
    return _bill(call, waiting, begun)


def _from_now(call: Call, subscription: Object, item: Object, *, anew: bool) -> Object:
    """The item in the period that `now` lies in."""
    recurring, now = item["price"]["recurring"], call.now
    if anew:
        return item | {"current_period_start": now, "current_period_end": periods.step(now, recurring, 1)}
    if item["current_period_end"] > now:
        return item
    end = periods.after(subscription["billing_cycle_anchor"], recurring, now)
    return item | {"current_period_start": now, "current_period_end": end}


def _bill(call: Call, subscription: Object, items: list[Object]) -> Object:
    invoice = invoices.bill(call, subscription, items, "subscription_update")
    call.put(call.get("subscription", subscription["id"]) | {"latest_invoice": invoice["id"]})
    invoice_work.finish(call, invoice)
    resumed = call.get("subscription", subscription["id"])
    return call.put(resumed | {"_notice_at": renewals.notice_at(call, resumed)})


@operation("POST", "/v1/subscriptions/{subscription}/migrate", takes="billing_mode")
def migrate(call: Call) -> Object:
    """To flexible billing; there is no way back (Stripe docs, "Compare classic and flexible billing mode")."""
    subscription = call.get("subscription", call.id)
    if subscription["billing_mode"]["type"] == "flexible":
        raise errors.invalid("The subscription is already in flexible billing mode.", "billing_mode[type]")
    if subscription["status"] in lifecycle.ENDED:
        raise errors.invalid("A subscription that has ended cannot be migrated.")
    discounts = call.params["billing_mode"].get("flexible", {}).get("proration_discounts", "included")
    mode: dict[str, Any] = {"type": "flexible", "flexible": {"proration_discounts": discounts}, "updated_at": call.now}
    return lifecycle.change(call, subscription, {"billing_mode": mode})

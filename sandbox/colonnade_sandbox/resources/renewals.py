"""Subscriptions as time passes: renewals, ends of trials and pauses, scheduled cancellations."""

from typing import Any

from colonnade_sandbox import billing_settings, periods
from colonnade_sandbox.call import Call
from colonnade_sandbox.clock import DAY, HOUR
from colonnade_sandbox.resources import collection, discounts, invoices, lifecycle, pending_updates
from colonnade_sandbox.store import Object

# Stripe gives a first payment this long (Stripe docs, "How subscriptions work").
INCOMPLETE_FOR = 23 * HOUR
TRIAL_NOTICE = 3 * DAY


def due_at(subscription: Object) -> int | None:
    """When the next work on a subscription falls due."""
    if subscription["status"] in lifecycle.ENDED | {"paused"}:
        return None
    if subscription["status"] == "incomplete":
        return int(subscription["created"]) + INCOMPLETE_FOR
    moments = [item["current_period_end"] for item in subscription["items"]["data"]]
    moments += [subscription[name] for name in ("cancel_at", "_notice_at") if subscription.get(name) is not None]
    if subscription["pending_update"]:
        moments.append(subscription["pending_update"]["expires_at"])
    if resumes_at := (subscription["pause_collection"] or {}).get("resumes_at"):
        moments.append(resumes_at)
    if subscription["status"] == "trialing" and not subscription["_trial_noticed"]:
        moments.append(subscription["trial_end"] - TRIAL_NOTICE)
    return min(moments, default=None)


def work(call: Call, subscription: Object) -> None:
    """Do what is due now; called with the clock at the moment that `due_at` gave."""
    now, pending = call.now, subscription["pending_update"]
    if subscription["status"] == "incomplete":
        _expire(call, subscription)
    elif subscription["cancel_at"] is not None and subscription["cancel_at"] <= now:
        lifecycle.end(call, subscription, {})
    elif pending and pending["expires_at"] <= now:
        pending_updates.drop(call, subscription)
    elif ((subscription["pause_collection"] or {}).get("resumes_at") or now + 1) <= now:
        lifecycle.change(call, subscription, {"pause_collection": None})
    elif any(item["current_period_end"] <= now for item in subscription["items"]["data"]):
        renew(call, subscription)
    elif (subscription.get("_notice_at") or now + 1) <= now:
        _announce(call, subscription)
    else:
        _announce_end(call, subscription)


def announce_short_trial(call: Call, subscription: Object) -> Object:
    """A trial of less than three days is announced as soon as it is made (Stripe docs, "Types of events")."""
    soon = subscription["status"] == "trialing" and subscription["trial_end"] - TRIAL_NOTICE <= call.now
    return _announce_end(call, subscription) if soon and not subscription["_trial_noticed"] else subscription


def _announce_end(call: Call, subscription: Object) -> Object:
    noticed = call.put(subscription | {"_trial_noticed": True})
    call.emit("customer.subscription.trial_will_end", noticed)
    return noticed


def _expire(call: Call, subscription: Object) -> None:
    expired = {"status": "incomplete_expired", "ended_at": call.now}
    lifecycle.change(call, subscription, expired)
    invoice = call.find("invoice", subscription["latest_invoice"])
    if invoice is not None and invoice["status"] == "open":
        invoices.void(call, invoice)


def notice_at(call: Call, subscription: Object) -> int | None:
    """When `invoice.upcoming` is to tell of the next renewal; None where it comes too soon for that."""
    days = billing_settings.of(call.sandbox.store, call.account).upcoming_days
    ends = min(item["current_period_end"] for item in subscription["items"]["data"])
    moment = int(ends) - days * DAY
    return moment if days and moment > call.now else None


def _announce(call: Call, subscription: Object) -> None:
    call.put(subscription | {"_notice_at": None})
    if subscription["cancel_at"] is None:
        call.emit("invoice.upcoming", upcoming(call, subscription))


def upcoming(call: Call, subscription: Object) -> Object:
    """The invoice that the next renewal will make, without an id; nothing is stored."""
    with call.sandbox.store.rehearsal():
        later = call.to()
        later.moment = min(item["current_period_end"] for item in subscription["items"]["data"])
        renewed = renew(later, subscription)
        invoice = later.get("invoice", renewed["latest_invoice"])
    return {name: value for name, value in invoice.items() if name != "id"} | {"billing_reason": "upcoming"}


def renew(call: Call, subscription: Object) -> Object:
    """Draft the invoice for the next period of the items whose period is over; a trial that ends does the same."""
    if subscription["status"] == "trialing" and (behaviour := _without_card(call, subscription)) is not None:
        if behaviour == "cancel":
            return lifecycle.end(call, subscription, {})
        return lifecycle.pause(call, subscription, "trial_end_without_payment_method")
    moved = {item["id"]: _moved(subscription, item) for item in subscription["items"]["data"]}
    ended = [item["id"] for item in subscription["items"]["data"] if item["current_period_end"] <= call.now]
    data = [moved[item["id"]] if item["id"] in ended else item for item in subscription["items"]["data"]]
    renewed = subscription | {"items": subscription["items"] | {"data": data}}
    invoice = invoices.bill(call, renewed, [moved[key] for key in ended], "subscription_cycle")
    changes: dict[str, Any] = {
        "items": renewed["items"],
        "latest_invoice": invoice["id"],
        "discounts": discounts.spent(call, subscription["discounts"], call.now),
        "_notice_at": notice_at(call, renewed),
    }
    if subscription["status"] == "trialing":
        changes["status"] = "active"
    return lifecycle.change(call, subscription, changes)


def _moved(subscription: Object, item: Object) -> Object:
    """The item in its next period; one that another interval took off the anchor counts from where it is."""
    start, anchor, recurring = (
        item["current_period_end"],
        subscription["billing_cycle_anchor"],
        item["price"]["recurring"],
    )
    anchored = start == anchor or periods.after(anchor, recurring, start - 1) == start
    until = periods.after(anchor if anchored else start, recurring, start)
    return item | {"current_period_start": start, "current_period_end": until}


def _without_card(call: Call, subscription: Object) -> str | None:
    """What a trial that ends without a payment method becomes, where that is not simply an unpaid invoice."""
    if collection.chargeable(call, subscription) is not None:
        return None
    behaviour = (subscription["trial_settings"] or {}).get("end_behavior", {}).get("missing_payment_method")
    return behaviour if behaviour in ("cancel", "pause") else None

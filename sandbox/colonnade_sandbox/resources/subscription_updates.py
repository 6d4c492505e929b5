"""Updating a subscription: its values, its items, and what that costs now."""

from typing import Any

from colonnade_sandbox import errors, periods
from colonnade_sandbox.call import Call, unset
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation
from colonnade_sandbox.resources import (
    collection,
    discounts,
    invoice_work,
    invoices,
    lifecycle,
    payment_methods,
    pending_updates,
    prorations,
    renewals,
    schedule_rules,
    subscription_lines,
    subscription_values,
)
from colonnade_sandbox.store import Object

TAKEN = f"{subscription_values.SHARED} billing_cycle_anchor cancellation_details pause_collection proration_date"


@operation("POST", "/v1/subscriptions/{subscription_exposed_id}", takes=TAKEN)
def update(call: Call) -> Object:
    """Raises StripeError: 400 naming what is wrong, 402 under `error_if_incomplete`."""
    subscription = call.get("subscription", call.id)
    if subscription["status"] in lifecycle.ENDED:
        return _update_ended(call, subscription)
    schedule_rules.check_direct(call, subscription, call.params)
    pending_updates.check(call.params)
    return apply(call, subscription, _changes(call, subscription))


def apply(call: Call, subscription: Object, changes: dict[str, Any]) -> Object:
    """Store changes of values and items; what they cost is prorated, and billed as the call's parameters say."""
    params, behaviour = call.params, call.params.get("proration_behavior", "create_prorations")
    trial_over = subscription["status"] == "trialing" and params.get("trial_end") == "now"
    restarted = _restarted(subscription, changes)
    prorated = []
    if "items" in changes and behaviour != "none":
        at = params.get("proration_date", call.now)
        prorated = prorations.add(call, subscription, changes["items"]["data"], at)
    if (restarted or (prorated and behaviour == "always_invoice")) and not trial_over:
        return _billed(call, subscription, changes, restarted)
    changed = lifecycle.change(call, subscription, shapes.complete("subscription", subscription | changes))
    if trial_over:
        return _start_paying(call, changed)
    return renewals.announce_short_trial(call, changed)


def _start_paying(call: Call, subscription: Object) -> Object:
    """A trial that is ended by hand bills its first period at once, not an hour later.

    It is announced as well, whether or not it was before (API reference, "Types of events").
    """
    renewed = renewals.renew(call, subscription)
    if renewed["status"] == "active":
        invoice_work.finish(call, call.get("invoice", renewed["latest_invoice"]))
    paying = call.get("subscription", subscription["id"])
    call.emit("customer.subscription.trial_will_end", paying)
    return paying


def _changes(call: Call, subscription: Object) -> dict[str, Any]:
    """The fields that the parameters change, checked; nothing is stored."""
    params = call.params
    changes = subscription_values.values(call, subscription["customer"], subscription)
    if "pause_collection" in params:
        changes["pause_collection"] = unset(params["pause_collection"])
    if "discounts" in params:
        owner = {"customer": subscription["customer"], "subscription": subscription["id"]}
        changes["discounts"] = discounts.take(call, params["discounts"], owner, subscription["discounts"])
    if params.get("items"):
        data = subscription_lines.edited(call, subscription, params["items"])
        changes |= items_changes(call, subscription, data)
    if params.get("billing_cycle_anchor", {}).get("type") == "now":
        changes |= _new_cycle(call, subscription | changes)
    if "trial_end" in params:
        changes |= _new_trial(call, subscription | changes)
    if "cancel_at_period_end" in params:
        wanted = params["cancel_at_period_end"]
        changes |= lifecycle.cancellation(subscription | changes, call.now) if wanted else lifecycle.KEPT
    if "cancellation_details" in params:
        changes["cancellation_details"] = subscription["cancellation_details"] | params["cancellation_details"]
    return changes


def items_changes(call: Call, subscription: Object, data: list[Object]) -> dict[str, Any]:
    """The fields that follow from new items; where all periods start anew, so does the billing cycle."""
    changes: dict[str, Any] = {"items": subscription_lines.page(subscription["id"], data)}
    before = {item["id"]: item["current_period_end"] for item in subscription["items"]["data"]}
    if subscription["status"] != "trialing" and all(before.get(i["id"]) != i["current_period_end"] for i in data):
        changes["billing_cycle_anchor"] = call.now
    return changes


def _restarted(subscription: Object, changes: dict[str, Any]) -> list[Object]:
    """Items whose period starts anew with an update, by another interval: they are billed at once, unless on trial."""
    on_trial = changes.get("status") == "trialing"
    if on_trial or subscription["status"] not in ("active", "past_due") or "items" not in changes:
        return []
    before = {item["id"]: item["current_period_end"] for item in subscription["items"]["data"]}
    return [
        item
        for item in changes["items"]["data"]
        if before.get(item["id"], item["current_period_end"]) != item["current_period_end"]
    ]


def _billed(call: Call, subscription: Object, changes: dict[str, Any], lines: list[Object]) -> Object:
    """Bill the update now; `payment_behavior` says what a payment that fails makes of it."""
    behaviour = call.params.get("payment_behavior", "allow_incomplete")
    invoice = invoices.bill(call, subscription | changes, lines, "subscription_update")
    left = discounts.spent(call, (subscription | changes)["discounts"], call.now)
    status = "trialing" if changes.get("status") == "trialing" else "active"
    changes |= {"latest_invoice": invoice["id"], "discounts": left, "status": status}
    opened = invoices.finalize(call, invoice)
    if subscription["collection_method"] == "send_invoice":
        return lifecycle.change(call, subscription, subscription | changes)
    method = collection.payer(call, opened)
    if behaviour == "default_incomplete" and opened["amount_due"] > 0:
        return lifecycle.change(call, subscription, changes | {"status": "past_due"})
    collected = collection.collect(call, opened, method)
    if collected["status"] != "paid":
        if behaviour == "error_if_incomplete":
            raise payment_methods.refused(method, "subscription")
        if behaviour == "pending_if_incomplete":
            del changes["status"]
            return pending_updates.hold(call, subscription, changes, collected)
        invoice_work.plan_retry(call, collected)
        changes["status"] = "past_due"
    changed = shapes.complete("subscription", subscription | changes)
    return lifecycle.change(call, subscription, changed | {"_notice_at": renewals.notice_at(call, changed)})


def _new_trial(call: Call, subscription: Object) -> dict[str, Any]:
    """A trial moves every item's period; ending it now lets the renewal bill the first paid one."""
    end = subscription_values.trial_end(call) or call.now
    begins = end > call.now and subscription["status"] != "trialing"
    period = {"current_period_start": call.now, "current_period_end": end} if begins else {"current_period_end": end}
    items = subscription_lines.page(subscription["id"], [item | period for item in subscription["items"]["data"]])
    status = "trialing" if end > call.now else subscription["status"]
    return {
        "items": items,
        "trial_end": end,
        "trial_start": call.now if begins else subscription["trial_start"] or call.now,
        "billing_cycle_anchor": end,
        "status": status,
        "_trial_noticed": subscription["_trial_noticed"] and subscription["trial_end"] == end,
    }


def _new_cycle(call: Call, subscription: Object) -> dict[str, Any]:
    """Every item's period starts now, and is billed."""
    data = [
        item
        | {
            "current_period_start": call.now,
            "current_period_end": periods.step(call.now, item["price"]["recurring"], 1),
        }
        for item in subscription["items"]["data"]
    ]
    return {"items": subscription_lines.page(subscription["id"], data), "billing_cycle_anchor": call.now}


def _update_ended(call: Call, subscription: Object) -> Object:
    """What has ended keeps open only why it did, and the metadata."""
    if subscription["status"] == "canceled" and call.params.keys() <= {"cancellation_details", "metadata"}:
        return lifecycle.change(call, subscription, _changes(call, subscription))
    text = (
        "A canceled subscription can only update its cancellation_details and metadata."
        if subscription["status"] == "canceled"
        else "This subscription has expired and can no longer be updated."
    )
    raise errors.invalid(text)

"""Subscriptions: create, update, cancel."""

from typing import Any

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call, unset
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.operations import operation, retrievable
from colonnade_sandbox.resources import (
    accounts,
    invoices,
    lifecycle,
    payment_methods,
    subscription_lines,
    subscription_values,
)
from colonnade_sandbox.store import Object

SHARED = (
    "application_fee_percent cancel_at cancel_at_period_end collection_method days_until_due "
    "default_payment_method description items metadata off_session on_behalf_of payment_behavior payment_settings "
    "proration_behavior transfer_data trial_end trial_settings"
)

retrievable("subscription", "/v1/subscriptions/{subscription_exposed_id}")


def _status(subscription: Object, wanted: str) -> bool:
    if wanted == "ended":
        return subscription["status"] in lifecycle.ENDED
    return wanted == "all" or subscription["status"] == wanted


@operation("GET", "/v1/subscriptions", takes=f"{lists.PAGING} collection_method created customer price status")
def list_all(call: Call) -> Object:
    """Canceled ones are left out unless `status` asks for them (API reference, "List subscriptions")."""
    filters: dict[str, lists.Filter] = {
        "created": lists.within("created"),
        "customer": lists.equal("customer"),
        "collection_method": lists.equal("collection_method"),
        "price": lambda row, price: any(item["price"]["id"] == price for item in row["items"]["data"]),
        "status": _status,
    }
    rows = (row for row in call.all("subscription") if "status" in call.params or row["status"] != "canceled")
    return lists.answer(call, "subscription", rows, filters, "/v1/subscriptions")


@operation("POST", "/v1/subscriptions", takes=f"{SHARED} billing_mode currency customer trial_period_days")
def create(call: Call) -> Object:
    """Raises StripeError: 400 naming what is wrong, 402 under `error_if_incomplete`."""
    params = call.params
    if "customer" not in params:
        raise errors.missing_parameter("customer")
    customer = call.get("customer", params["customer"], "customer")
    subscription = _draft(call, customer)
    call.put(subscription)
    trialing = subscription["trial_end"] is not None
    reason = "subscription_create"
    invoice = invoices.bill(call, subscription, subscription["items"]["data"], reason, free=trialing)
    status = "trialing" if trialing else "active"
    if invoice["amount_due"] == 0 or subscription["collection_method"] == "charge_automatically":
        status = _first_payment(call, subscription, invoice, status)
    subscription = call.put(subscription | {"status": status, "latest_invoice": invoice["id"]})
    if params.get("cancel_at_period_end"):
        subscription = call.put(subscription | lifecycle.cancellation(subscription, call.now))
    if customer["currency"] is None:
        current = call.get("customer", customer["id"], "customer")
        call.put(current | {"currency": subscription["currency"]})
    call.emit("customer.subscription.created", subscription)
    return subscription


def _draft(call: Call, customer: Object) -> Object:
    params, now, subscription = call.params, call.now, ids.new("sub")
    wishes = params.get("items") or []
    if not wishes:
        raise errors.missing_parameter("items")
    trial_end = subscription_values.trial_end(call)
    items = []
    for index, wish in enumerate(wishes):
        price = subscription_lines.price_of(call, wish, f"items[{index}]")
        items.append(subscription_lines.item(call, subscription, price, wish, now, trial_end))
    currency = params.get("currency", items[0]["price"]["currency"]).lower()
    subscription_lines.check(items, currency)
    if customer["currency"] not in (None, currency):
        raise errors.invalid("You cannot combine currencies on a single customer.", "currency")
    values = {
        "id": subscription,
        "application": accounts.application(call)["id"] if call.account != call.platform else None,
        "billing_cycle_anchor": trial_end or now,
        "billing_mode": subscription_values.billing_mode(params),
        "cancellation_details": dict(lifecycle.KEPT["cancellation_details"]),
        "collection_method": params.get("collection_method", "charge_automatically"),
        "currency": currency,
        "customer": customer["id"],
        "items": subscription_lines.page(subscription, items),
        "start_date": now,
        "status": "incomplete",
        "trial_start": now if trial_end else None,
        "trial_end": trial_end,
        "metadata": {},
        "_trial_noticed": False,
    }
    return call.new("subscription", "sub", values | subscription_values.values(call, customer["id"], values))


def _first_payment(call: Call, subscription: Object, invoice: Object, status: str) -> str:
    """Pays the first invoice as `payment_behavior` says; the status that follows."""
    behaviour = call.params.get("payment_behavior", "allow_incomplete")
    if behaviour == "default_incomplete" and invoice["amount_due"] > 0:
        return "incomplete"
    method = invoices.chargeable(call, subscription)
    if invoice["amount_due"] > 0 and method is None:
        raise lifecycle.no_payment_method()
    collected = invoices.collect(call, invoice, method)
    if collected["status"] == "paid":
        return status
    if behaviour == "error_if_incomplete" and method is not None:
        raise payment_methods.declined(payment_methods.card_of(method).charge or "generic_decline")
    return "incomplete"


@operation(
    "POST",
    "/v1/subscriptions/{subscription_exposed_id}",
    takes=f"{SHARED} cancellation_details pause_collection proration_date",
)
def update(call: Call) -> Object:
    subscription = call.get("subscription", call.id)
    if subscription["status"] in lifecycle.ENDED:
        raise _ended(subscription)
    params = call.params
    changes = subscription_values.values(call, subscription["customer"], subscription)
    if "pause_collection" in params:
        changes["pause_collection"] = unset(params["pause_collection"])
    if params.get("items"):
        data = subscription_lines.edited(call, subscription, params["items"])
        changes["items"] = subscription_lines.page(subscription["id"], data)
    if "trial_end" in params:
        changes |= _new_trial(call, subscription | changes)
    if "cancel_at_period_end" in params:
        wanted = params["cancel_at_period_end"]
        changes |= lifecycle.cancellation(subscription | changes, call.now) if wanted else lifecycle.KEPT
    if "cancellation_details" in params:
        changes["cancellation_details"] = subscription["cancellation_details"] | params["cancellation_details"]
    restarted = _restarted(subscription, changes)
    if restarted:
        invoice = invoices.bill(call, subscription | changes, restarted, "subscription_update")
        changes |= {"latest_invoice": invoice["id"], "status": lifecycle.settle(call, subscription | changes, invoice)}
    changed = lifecycle.change(call, subscription, shapes.complete("subscription", subscription | changes))
    if subscription["status"] == "trialing" and params.get("trial_end") == "now":
        return lifecycle.renew(call, changed)
    return changed


def _restarted(subscription: Object, changes: dict[str, Any]) -> list[Object]:
    """Items whose period starts anew with an update, by another interval: they are billed at once."""
    if subscription["status"] not in ("active", "past_due") or "items" not in changes:
        return []
    before = {item["id"]: item["current_period_end"] for item in subscription["items"]["data"]}
    return [
        item
        for item in changes["items"]["data"]
        if before.get(item["id"], item["current_period_end"]) != item["current_period_end"]
    ]


def _new_trial(call: Call, subscription: Object) -> dict[str, Any]:
    """A trial moves every item's period; ending it now lets the renewal bill the first paid one."""
    end = subscription_values.trial_end(call) or call.now
    data = [item | {"current_period_end": end} for item in subscription["items"]["data"]]
    items = subscription_lines.page(subscription["id"], data)
    status = "trialing" if end > call.now else subscription["status"]
    start = subscription["trial_start"] or call.now
    return {"items": items, "trial_end": end, "trial_start": start, "billing_cycle_anchor": end, "status": status}


@operation(
    "DELETE",
    "/v1/subscriptions/{subscription_exposed_id}",
    takes="cancellation_details invoice_now prorate",
)
def cancel(call: Call) -> Object:
    subscription = call.get("subscription", call.id)
    if subscription["status"] in lifecycle.ENDED:
        raise errors.no_such("subscription", subscription["id"])
    return lifecycle.end(call, subscription, call.params.get("cancellation_details", {}))


def _ended(subscription: Object) -> errors.StripeError:
    text = (
        "A canceled subscription can only update its cancellation_details and metadata."
        if subscription["status"] == "canceled"
        else "This subscription has expired and can no longer be updated."
    )
    return errors.invalid(text)

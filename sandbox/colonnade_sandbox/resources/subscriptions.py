"""Subscriptions: create and cancel; updating is in `subscription_updates`."""

from colonnade_sandbox import errors, ids, lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.operations import operation, retrievable
from colonnade_sandbox.resources import (
    accounts,
    collection,
    discounts,
    invoice_lines,
    invoice_work,
    invoices,
    lifecycle,
    payment_methods,
    prorations,
    renewals,
    subscription_lines,
    subscription_values,
    test_clocks,
)
from colonnade_sandbox.resources.subscription_updates import update as update
from colonnade_sandbox.store import Object

retrievable("subscription", "/v1/subscriptions/{subscription_exposed_id}")


def _status(subscription: Object, wanted: str) -> bool:
    if wanted == "ended":
        return subscription["status"] in lifecycle.ENDED
    return wanted == "all" or subscription["status"] == wanted


@operation(
    "GET", "/v1/subscriptions", takes=f"{lists.PAGING} collection_method created customer price status test_clock"
)
def list_all(call: Call) -> Object:
    """Canceled ones are left out unless `status` asks for them (API reference, "List subscriptions")."""
    filters: dict[str, lists.Filter] = {
        "created": lists.within("created"),
        "customer": lists.equal("customer"),
        "collection_method": lists.equal("collection_method"),
        "price": lambda row, price: any(item["price"]["id"] == price for item in row["items"]["data"]),
        "status": _status,
        "test_clock": lists.equal("test_clock"),
    }
    rows = (row for row in call.all("subscription") if "status" in call.params or row["status"] != "canceled")
    return lists.answer(call, "subscription", rows, filters, "/v1/subscriptions")


@operation(
    "POST", "/v1/subscriptions", takes=f"{subscription_values.SHARED} billing_mode currency customer trial_period_days"
)
def create(call: Call) -> Object:
    """Raises StripeError: 400 naming what is wrong, 402 under `error_if_incomplete`."""
    if "customer" not in call.params:
        raise errors.missing_parameter("customer")
    return start(call)


def start(call: Call, *, billed_later: bool = False) -> Object:
    """A new subscription; `billed_later` leaves its first invoice a draft for an hour, as schedules do."""
    params = call.params
    customer = call.get("customer", params["customer"], "customer")
    test_clocks.check_subscriptions(call, customer)
    subscription = _draft(call, customer)
    call.put(subscription)
    trialing = subscription["trial_end"] is not None
    invoice = invoices.bill(call, subscription, subscription["items"]["data"], "subscription_create", free=trialing)
    left = discounts.spent(call, subscription["discounts"], call.now)
    status = "trialing" if trialing else "active"
    automatic = subscription["collection_method"] == "charge_automatically" and not billed_later
    if automatic or invoice["amount_due"] == 0:
        status = _first_payment(call, subscription, invoices.finalize(call, invoice), status)
    settled = {"status": status, "latest_invoice": invoice["id"], "discounts": left}
    settled["_notice_at"] = renewals.notice_at(call, subscription)
    subscription = call.put(subscription | settled)
    if params.get("cancel_at_period_end"):
        subscription = call.put(subscription | lifecycle.cancellation(subscription, call.now))
    if customer["currency"] is None:
        current = call.get("customer", customer["id"], "customer")
        call.change(current, {"currency": subscription["currency"]})
    call.emit("customer.subscription.created", subscription)
    return renewals.announce_short_trial(call, subscription)


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
    currency = subscription_lines.currency(call, customer, items)
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
        "test_clock": customer["test_clock"],
        "trial_start": now if trial_end else None,
        "trial_end": trial_end,
        "metadata": {},
        "_trial_noticed": False,
    }
    values |= subscription_values.values(call, customer["id"], values)
    owner = {"customer": customer["id"], "subscription": subscription}
    values["discounts"] = discounts.take(call, params.get("discounts"), owner)
    return call.new("subscription", "sub", values)


def _first_payment(call: Call, subscription: Object, invoice: Object, status: str) -> str:
    """Pays the first invoice as `payment_behavior` says; the status that follows."""
    behaviour = call.params.get("payment_behavior", "allow_incomplete")
    if behaviour == "default_incomplete" and invoice["amount_due"] > 0:
        return "incomplete"
    method = collection.chargeable(call, subscription)
    if invoice["amount_due"] > 0 and method is None:
        raise lifecycle.no_payment_method()
    collected = collection.collect(call, invoice, method)
    if collected["status"] == "paid":
        return status
    if behaviour == "error_if_incomplete":
        raise payment_methods.refused(method, "subscription")
    return "incomplete"


@operation(
    "DELETE",
    "/v1/subscriptions/{subscription_exposed_id}",
    takes="cancellation_details invoice_now prorate",
)
def cancel(call: Call) -> Object:
    subscription = call.get("subscription", call.id)
    if subscription["status"] in lifecycle.ENDED:
        raise errors.no_such("subscription", subscription["id"])
    if call.params.get("prorate"):
        prorations.credit(call, subscription, call.now)
    ended = lifecycle.end(call, subscription, call.params.get("cancellation_details", {}))
    owed = (subscription["customer"], subscription["currency"], subscription["id"])
    if call.params.get("invoice_now") and invoice_lines.pending(call, *owed):
        invoice_work.finish(call, invoices.bill(call, subscription, [], "subscription_update"))
    return ended

"""Customers."""

from typing import Any

from colonnade_sandbox import errors, lists
from colonnade_sandbox.call import Call, merged_metadata, unset
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.expansion import COMPUTED
from colonnade_sandbox.operations import listable, operation
from colonnade_sandbox.resources import customer_discounts, lifecycle, payment_methods, sources, tax_ids, test_clocks
from colonnade_sandbox.store import Object, Store

COPIED = (
    "address",
    "balance",
    "business_name",
    "description",
    "email",
    "individual_name",
    "name",
    "phone",
    "preferred_locales",
    "shipping",
    "tax_exempt",
)
TAKEN = " ".join((*COPIED, "invoice_prefix", "invoice_settings", "metadata", "next_invoice_sequence"))
TAKEN += f" {customer_discounts.TAKEN}"

# What is left of a deleted customer: the stub that a retrieval still answers.
DELETED = "_deleted_customer"

listable(
    "customer",
    "/v1/customers",
    {"email": lists.equal("email"), "test_clock": lists.equal("test_clock")},
)


def _values(params: dict[str, Any]) -> dict[str, Any]:
    return {
        name: unset(params[name]) for name in (*COPIED, "invoice_prefix", "next_invoice_sequence") if name in params
    }


@operation("POST", "/v1/customers", takes=f"{TAKEN} payment_method source tax_id_data test_clock")
def create(call: Call) -> Object:
    values = {"balance": 0, "delinquent": False, "tax_exempt": "none", "preferred_locales": []}
    values |= {"next_invoice_sequence": 1, "invoice_prefix": None, "invoice_settings": {}}
    values |= _values(call.params) | {"metadata": merged_metadata({}, call.params.get("metadata"))}
    if clock := call.params.get("test_clock"):
        test_clocks.check_room(call, clock)
        values["test_clock"] = clock
    customer = call.new("customer", "cus", values)
    customer["invoice_prefix"] = customer["invoice_prefix"] or customer["id"][-8:].upper()
    call.put(customer)
    if method := call.params.get("payment_method"):
        payment_methods.attach_to(call, method, customer["id"], "payment_method")
    if source := call.params.get("source"):
        customer = call.put(customer | {"default_source": sources.add(call, customer, source)["id"]})
    if settings := call.params.get("invoice_settings"):
        customer = call.put(customer | {"invoice_settings": _invoice_settings(call, customer, settings)})
    customer = call.put(customer | customer_discounts.changes(call, customer))
    call.emit("customer.created", customer)
    for place, data in enumerate(call.params.get("tax_id_data") or []):
        owner = {"type": "customer", "customer": customer["id"]}
        tax_ids.add(call, customer["id"], data, owner, f"tax_id_data[{place}][value]")
    return customer


@operation("GET", "/v1/customers/{customer}")
def retrieve(call: Call) -> Object:
    return call.find(DELETED, call.id) or call.get("customer", call.id)


@operation("POST", "/v1/customers/{customer}", takes=TAKEN)
def update(call: Call) -> Object:
    customer = call.get("customer", call.id)
    changes = _values(call.params)
    changes["metadata"] = merged_metadata(customer["metadata"], call.params.get("metadata"))
    if settings := call.params.get("invoice_settings"):
        changes["invoice_settings"] = _invoice_settings(call, customer, settings)
    changes |= customer_discounts.changes(call, customer)
    return call.change(customer, shapes.complete("customer", customer | changes))


def _invoice_settings(call: Call, customer: Object, given: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = customer["invoice_settings"] | {name: unset(value) for name, value in given.items()}
    if method := settings["default_payment_method"]:
        found = payment_methods.of_customer(call, customer["id"], method)
        if found is None:
            raise errors.no_such("payment_method", method, "invoice_settings[default_payment_method]")
        settings["default_payment_method"] = found["id"]
    return settings


@operation("DELETE", "/v1/customers/{customer}")
def delete(call: Call) -> Object:
    """Its subscriptions end at once (API reference, "Delete a customer")."""
    customer = call.get("customer", call.id)
    for subscription in lifecycle.of_customer(call, customer["id"]):
        lifecycle.end(call, subscription, {})
    for tax_id in tax_ids.of_customer(call, customer["id"]):
        call.remove(tax_id, event="customer.tax_id.deleted")
    for method in list(call.all("payment_method")):
        if method["customer"] == customer["id"]:
            call.change(method, {"customer": None}, event="payment_method.detached")
    stub = call.remove(customer)
    call.sandbox.store.put(call.account, DELETED, customer["id"], stub)
    return stub


def _subscriptions(store: Store, account: str, customer: Object) -> Object:
    live = [
        row
        for row in store.all(account, "subscription")
        if row["customer"] == customer["id"] and row["status"] not in ("canceled", "incomplete_expired")
    ]
    return shapes.page(live[:10], f"/v1/customers/{customer['id']}/subscriptions", has_more=len(live) > 10)


COMPUTED["customer", "subscriptions"] = _subscriptions

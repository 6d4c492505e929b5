"""What a tenant's rows have to say in the end, told from the model alone."""

import json
from collections.abc import Mapping
from typing import Any

from tests.convergence.model import Model


def expected(stripe: Model) -> dict[str, set[Any]]:
    """The facts of each mirrored object, as Stripe has them; what was deleted counts as gone."""
    found: dict[str, set[Any]] = {name: set() for name in _READ}
    for name in {event["data"]["object"]["id"] for event in stripe.events}:
        gone = name not in stripe
        last = [event["data"]["object"] for event in stripe.events if event["data"]["object"]["id"] == name][-1]
        thing = last if gone else stripe[name]
        table, facts = _FACTS[thing["object"]]
        found[table] |= facts(thing, gone)
        for item in thing.get("items", {}).get("data", ()):
            found["subscription_items"].add((name, item["id"], item["price"]["id"], item["quantity"]))
    return found


def shown(state: Mapping[str, list[str]]) -> dict[str, set[Any]]:
    """The same facts, from a tenant's rows."""
    return {
        table: {tuple(json.loads(row)[column] for column in columns) for row in state.get(table, [])}
        for table, columns in _READ.items()
    }


_READ = {
    "subscriptions": ("id", "status", "cancel_at_period_end", "schedule"),
    "subscription_items": ("subscription", "id", "price", "quantity"),
    "billing_details": ("id", "name", "email", "default_payment_method", "gone"),
    "tax_ids": ("id", "verification", "gone"),
    "payment_methods": ("id", "exp_year", "gone"),
    "invoices": ("id", "status", "amount_due", "attempt_count"),
    "subscription_schedules": ("id", "status"),
}


def _subscription(thing: dict[str, Any], _gone: bool) -> set[Any]:
    return {tuple(thing[name] for name in _READ["subscriptions"])}


def _details(thing: dict[str, Any], gone: bool) -> set[Any]:
    return {(thing["id"], thing["name"], thing["email"], thing["invoice_settings"]["default_payment_method"], gone)}


_FACTS = {
    "subscription": ("subscriptions", _subscription),
    "customer": ("billing_details", _details),
    "tax_id": ("tax_ids", lambda thing, gone: {(thing["id"], thing["verification"]["status"], gone)}),
    "payment_method": (
        "payment_methods",
        lambda thing, _gone: {(thing["id"], thing["card"]["exp_year"], thing["customer"] is None)},
    ),
    "invoice": (
        "invoices",
        lambda thing, _gone: {(thing["id"], thing["status"], thing["amount_due"], thing["attempt_count"])},
    ),
    "subscription_schedule": ("subscription_schedules", lambda thing, _gone: {(thing["id"], thing["status"])}),
}

"""Everything that the local Stripe tells of a customer's billing arrives in the tenant's mirrors."""

import json
from typing import Any

import pytest

from tests.end_to_end.demo import Demo, until

FERN = 0

pytestmark = pytest.mark.slow


def _of(demo: Demo, path: str) -> Any:
    return demo.api("GET", f"/customers/billed/{path}", tenant=FERN).json


def test_invoices_payment_methods_and_details_are_mirrored(demo: Demo) -> None:
    subscription = demo.new_customer(FERN, "billed")
    customer = demo.api("GET", "/customers/billed", tenant=FERN).json["stripe_customer"]
    demo.stripe("POST", f"/v1/customers/{customer}", "name=Edith&tax_exempt=reverse")
    (invoice,) = until(lambda: [each for each in _of(demo, "invoices")["data"] if each["status"] == "paid"])
    assert (invoice["subscription"], invoice["amount_remaining"]) == (subscription, 0)
    until(lambda: [each["default"] for each in _of(demo, "payment-methods")["data"]] == [True])
    until(lambda: (_of(demo, "billing")["name"], _of(demo, "billing")["tax_exempt"]) == ("Edith", "reverse"))
    assert demo.api("GET", "/customers/billed", tenant=FERN).json["name"] == "E"


def test_none_of_a_customers_events_is_dead_or_in_quarantine(demo: Demo) -> None:
    demo.new_customer(FERN, "whole")
    customer = demo.api("GET", "/customers/whole", tenant=FERN).json["stripe_customer"]
    assert demo.api("POST", "/customers/whole/portal-sessions", {}, tenant=FERN).status == 201
    until(lambda: demo.api("GET", "/v1/events?state=pending").json["data"] == [])
    # Other tests of the same demo put theirs into quarantine on purpose.
    events = demo.stripe("GET", "/v1/events?limit=100")["data"]
    own = {event["id"] for event in events if customer in json.dumps(event)}
    assert own
    for state in ("dead", "quarantined"):
        found = demo.api("GET", f"/v1/events?state={state}&limit=100").json["data"]
        assert [(each["type"], each["reason"]) for each in found if each["id"] in own] == []

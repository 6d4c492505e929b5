"""Billing objects and their events in the shape that Stripe sends them (API version 2026-10-28.endive)."""

from collections.abc import Mapping
from itertools import count
from typing import Any

import msgspec

from colonnade_tenants.events import Event
from tests.tenants.payloads import START, moment

_numbers = count(1)


def tell(
    event_type: str, created: int, body: Mapping[str, Any], previous: dict[str, Any] | None = None, **fields: Any
) -> Event:
    return Event(
        **{"id": f"evt_{next(_numbers):05}", "account": None} | fields,
        type=event_type,
        created=moment(created),
        object=msgspec.Raw(msgspec.json.encode(body)),
        previous_attributes=previous,
    )


def changed(event_type: str, created: int, old: Mapping[str, Any], new: Mapping[str, Any]) -> Event:
    """The event of an object that was *old* and is *new*, with its previous attributes."""
    return tell(event_type, created, new, {key: value for key, value in old.items() if new[key] != value})


def customer(**changes: Any) -> dict[str, Any]:
    return {
        "id": "cus_1",
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": START,
        "default_source": None,
        "description": None,
        "email": "ada@example.com",
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
        "livemode": False,
        "metadata": {},
        "name": "Ada",
        "phone": None,
        "shipping": None,
        "tax_exempt": "none",
    } | changes


def tax_id(status: str = "pending", **changes: Any) -> dict[str, Any]:
    return {
        "id": "txi_1",
        "object": "tax_id",
        "country": "DE",
        "created": START,
        "customer": "cus_1",
        "livemode": False,
        "owner": {"type": "customer", "customer": "cus_1"},
        "type": "eu_vat",
        "value": "DE123456789",
        "verification": {"status": status, "verified_address": None, "verified_name": None},
    } | changes


def payment_method(**changes: Any) -> dict[str, Any]:
    card = {
        "brand": "visa",
        "checks": {"cvc_check": "pass"},
        "country": "US",
        "exp_month": 12,
        "exp_year": 2030,
        "fingerprint": "SECRETFINGERPRINT",
        "funding": "credit",
        "last4": "4242",
    }
    return {
        "id": "pm_1",
        "object": "payment_method",
        "billing_details": {"address": {}, "email": None, "name": "SECRET HOLDER", "phone": None},
        "card": card | changes.pop("card", {}),
        "created": START,
        "customer": "cus_1",
        "livemode": False,
        "metadata": {},
        "type": "card",
    } | changes


def phase(start: int, end: int, price: str, quantity: int = 1) -> dict[str, Any]:
    items = [{"price": price, "quantity": quantity, "metadata": {}, "tax_rates": []}]
    return {"start_date": start, "end_date": end, "items": items, "on_behalf_of": None, "transfer_data": None}


def schedule(status: str = "active", **changes: Any) -> dict[str, Any]:
    month = 30 * 86_400
    return {
        "id": "sub_sched_1",
        "object": "subscription_schedule",
        "canceled_at": None,
        "completed_at": None,
        "created": START,
        "current_phase": {"start_date": START, "end_date": START + month},
        "customer": "cus_1",
        "default_settings": {"on_behalf_of": "acct_1", "transfer_data": None},
        "end_behavior": "release",
        "livemode": False,
        "metadata": {},
        "phases": [
            phase(START, START + month, "price_gold", 3),
            phase(START + month, START + 2 * month, "price_basic"),
        ],
        "released_at": None,
        "released_subscription": None,
        "status": status,
        "subscription": "sub_1",
    } | changes


def invoice(status: str = "draft", **changes: Any) -> dict[str, Any]:
    paid = 900 if status == "paid" else 0
    return {
        "id": "in_1",
        "object": "invoice",
        "amount_due": 900,
        "amount_paid": paid,
        "amount_remaining": 900 - paid,
        "attempt_count": 0 if status in {"draft", "open"} else 1,
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "created": START,
        "currency": "eur",
        "customer": "cus_1",
        "due_date": None,
        "hosted_invoice_url": None if status == "draft" else "https://invoice.stripe.com/i/acct_1/test_1",
        "invoice_pdf": None if status == "draft" else "https://pay.stripe.com/invoice/acct_1/test_1/pdf",
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": START + 3600 if status == "draft" else None,
        "number": None if status == "draft" else "A-0001",
        "on_behalf_of": "acct_1",
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": "sub_1"},
        },
        "period_end": START,
        "period_start": START - 86_400,
        "status": status,
        "status_transitions": {"finalized_at": None, "paid_at": None},
        "total": 900,
    } | changes


def configuration(updated: int = START, **changes: Any) -> dict[str, Any]:
    return {
        "id": "bpc_1",
        "object": "billing_portal.configuration",
        "active": True,
        "application": None,
        "business_profile": {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None},
        "created": START,
        "default_return_url": None,
        "features": {"invoice_history": {"enabled": True}},
        "is_default": False,
        "livemode": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": {"colonnade_version": "1"},
        "name": "main",
        "updated": updated,
    } | changes


def session(**changes: Any) -> dict[str, Any]:
    return {
        "id": "bps_1",
        "object": "billing_portal.session",
        "configuration": "bpc_1",
        "created": START,
        "customer": "cus_1",
        "flow": {"type": "subscription_cancel"},
        "livemode": False,
        "locale": "de",
        "on_behalf_of": "acct_1",
        "return_url": "https://shop.example/account?token=SECRET",
        "url": "https://billing.stripe.com/p/session/SECRET",
    } | changes

"""Invoices: their status, amounts and links."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from colonnade_tenants import customers
from colonnade_tenants.ahead import reads
from colonnade_tenants.billing.mirror import Mirror
from colonnade_tenants.billing.tables import invoices
from colonnade_tenants.events import Event
from colonnade_tenants.fields import Reference, Seconds, id_of, moment, optional_id, optional_moment
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe

_STAGES = {"draft": 0, "open": 1, "uncollectible": 2, "paid": 3, "void": 3}
"""A status is never gone back ("Status transitions and finalization", Stripe documentation)."""
_DELETED = 4


class _SubscriptionDetails(Struct):
    subscription: Reference | None


class _Parent(Struct):
    subscription_details: _SubscriptionDetails | None = None


class _Invoice(Struct):
    """Stripe's invoice object ("The Invoice object", Stripe API reference)."""

    id: str
    customer: Reference
    status: str
    number: str | None
    parent: _Parent | None
    billing_reason: str | None
    currency: str
    total: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    created: Seconds
    due_date: Seconds | None
    period_start: Seconds
    period_end: Seconds
    attempt_count: int
    next_payment_attempt: Seconds | None
    hosted_invoice_url: str | None = None
    invoice_pdf: str | None = None


class Invoice(Struct, frozen=True):
    """An invoice; amounts are in the currency's smallest unit. *next_payment_attempt* is null if there is none."""

    status: str
    number: str | None
    subscription: str | None
    billing_reason: str | None
    currency: str
    total: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    hosted_invoice_url: str | None
    invoice_pdf: str | None
    created_at: datetime
    due_at: datetime | None
    period_start: datetime
    period_end: datetime
    attempt_count: int
    next_payment_attempt: datetime | None
    gone: bool = False


_ALIKE = (
    *("status", "number", "billing_reason", "currency", "total", "amount_due", "amount_paid", "amount_remaining"),
    *("hosted_invoice_url", "invoice_pdf", "attempt_count"),
)


def _read(thing: Mapping[str, Any]) -> Invoice:
    found = msgspec.convert(thing, _Invoice)
    details = found.parent.subscription_details if found.parent else None
    return Invoice(
        **{name: getattr(found, name) for name in _ALIKE},
        subscription=optional_id(details.subscription) if details else None,
        created_at=moment(found.created),
        due_at=optional_moment(found.due_date),
        period_start=moment(found.period_start),
        period_end=moment(found.period_end),
        next_payment_attempt=optional_moment(found.next_payment_attempt),
    )


def _stage(invoice: Invoice) -> int:
    return _DELETED if invoice.gone else _STAGES.get(invoice.status, 0)


_MIRROR = Mirror(invoices, Invoice, read=_read, path="/v1/invoices/{}", stage=_stage)


@reads(objects=[_MIRROR.rows])
async def invoice_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the invoice."""
    invoice = msgspec.json.decode(event.object, type=_Invoice)
    owner = await customers.by_stripe_id(tenant, id_of(invoice.customer))
    await _MIRROR.apply(tenant, stripe, event, customer_id=owner)


@reads(objects=[_MIRROR.rows])
async def invoice_deleted(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Note that a draft was thrown away."""
    invoice = msgspec.json.decode(event.object, type=_Invoice)
    owner = await customers.by_stripe_id(tenant, id_of(invoice.customer))
    await _MIRROR.apply(
        tenant, stripe, event, amend=lambda facts: msgspec.structs.replace(facts, gone=True), customer_id=owner
    )

"""Customers as Stripe bills them: name, e-mail, address, default payment method, tax ids.

They are kept apart from what the tenant wrote (`customers`): an end customer edits them in the portal, so that neither
name nor e-mail says who someone is, and a PUT of the tenant's must not be undone by an older event.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from colonnade_tenants import customers
from colonnade_tenants.ahead import reads
from colonnade_tenants.billing.mirror import Mirror
from colonnade_tenants.billing.tables import billing_details, tax_ids
from colonnade_tenants.events import Event
from colonnade_tenants.fields import Reference, id_of, optional_id
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe


class _InvoiceSettings(Struct):
    default_payment_method: Reference | None


class _Customer(Struct):
    """Stripe's customer object ("The Customer object", Stripe API reference)."""

    id: str
    email: str | None
    invoice_settings: _InvoiceSettings
    name: str | None = None
    phone: str | None = None
    address: dict[str, Any] | None = None
    tax_exempt: str | None = None


class Details(Struct, frozen=True):
    """How a customer is billed."""

    name: str | None
    email: str | None
    phone: str | None
    address: dict[str, Any] | None
    tax_exempt: str | None
    default_payment_method: str | None
    gone: bool = False


class _Verification(Struct):
    status: str


class _TaxId(Struct):
    """Stripe's tax id ("The Tax ID object", Stripe API reference)."""

    id: str
    customer: Reference | None
    country: str | None
    type: str
    value: str
    verification: _Verification | None


class TaxId(Struct, frozen=True):
    """A customer's tax id; *verification* is null where Stripe does not verify its kind."""

    type: str
    value: str
    country: str | None
    verification: str | None
    gone: bool = False


def _details(thing: Mapping[str, Any]) -> Details:
    found = msgspec.convert(thing, _Customer)
    default = optional_id(found.invoice_settings.default_payment_method)
    return Details(found.name, found.email, found.phone, found.address, found.tax_exempt, default)


def _tax_id(thing: Mapping[str, Any]) -> TaxId:
    found = msgspec.convert(thing, _TaxId)
    return TaxId(found.type, found.value, found.country, found.verification.status if found.verification else None)


_DETAILS = Mirror(
    billing_details, Details, read=_details, path="/v1/customers/{}", stage=lambda details: int(details.gone)
)
_TAX_IDS = Mirror(tax_ids, TaxId, read=_tax_id, path="/v1/tax_ids/{}", stage=lambda tax_id: int(tax_id.gone))


@reads(objects=[_DETAILS.rows])
async def customer_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the customer's billing details."""
    customer = msgspec.json.decode(event.object, type=_Customer)
    owner = await customers.by_stripe_id(tenant, customer.id)
    await _DETAILS.apply(tenant, stripe, event, customer_id=owner)


@reads(objects=[_DETAILS.rows])
async def customer_deleted(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Note that Stripe no longer has the customer; its subscriptions end by events of their own."""
    customer = msgspec.json.decode(event.object, type=_Customer)
    owner = await customers.by_stripe_id(tenant, customer.id)
    await _DETAILS.apply(tenant, stripe, event, amend=_now_gone, customer_id=owner)


@reads(objects=[_TAX_IDS.rows])
async def tax_id_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror a customer's tax id. One of an account's own has no customer, and is not billing."""
    tax_id = msgspec.json.decode(event.object, type=_TaxId)
    if tax_id.customer is not None:
        owner = await customers.by_stripe_id(tenant, id_of(tax_id.customer))
        await _TAX_IDS.apply(tenant, stripe, event, customer_id=owner)


@reads(objects=[_TAX_IDS.rows])
async def tax_id_deleted(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Note that a tax id was removed."""
    tax_id = msgspec.json.decode(event.object, type=_TaxId)
    if tax_id.customer is not None:
        owner = await customers.by_stripe_id(tenant, id_of(tax_id.customer))
        await _TAX_IDS.apply(tenant, stripe, event, amend=_now_gone, customer_id=owner)


def _now_gone(facts: Any) -> Any:
    return msgspec.structs.replace(facts, gone=True)

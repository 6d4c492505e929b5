"""Payment methods: what a customer knows a card by, and nothing else of it."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from colonnade_tenants import customers
from colonnade_tenants.ahead import reads
from colonnade_tenants.billing.mirror import Mirror
from colonnade_tenants.billing.tables import payment_methods
from colonnade_tenants.events import Event
from colonnade_tenants.fields import Reference, id_of, optional_id
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.stripe import TenantStripe


class _Card(Struct):
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None


class _PaymentMethod(Struct):
    """Stripe's payment method ("The PaymentMethod object", Stripe API reference).

    The details are below the name of the type. Bank debits have last four digits too; what else they have stays out.
    """

    id: str
    type: str
    customer: Reference | None
    card: _Card | None = None
    sepa_debit: _Card | None = None
    us_bank_account: _Card | None = None


class PaymentMethod(Struct, frozen=True):
    """A payment method; *gone* once it was detached, which is for good."""

    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    gone: bool = False


def _read(thing: Mapping[str, Any]) -> PaymentMethod:
    found = msgspec.convert(thing, _PaymentMethod)
    card = getattr(found, found.type, None) if found.type in {"card", "sepa_debit", "us_bank_account"} else None
    shown = card or _Card()
    return PaymentMethod(
        found.type, shown.brand, shown.last4, shown.exp_month, shown.exp_year, gone=found.customer is None
    )


_MIRROR = Mirror(
    payment_methods, PaymentMethod, read=_read, path="/v1/payment_methods/{}", stage=lambda found: int(found.gone)
)


@reads(objects=[_MIRROR.rows])
async def payment_method_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the payment method. One that belongs to nobody, and never did as far as known, is not kept."""
    found = msgspec.json.decode(event.object, type=_PaymentMethod)
    owner = await _owner(tenant, found, event)
    if owner is not None:
        await _MIRROR.apply(tenant, stripe, event, customer_id=owner)


async def _owner(tenant: TenantConnection, found: _PaymentMethod, event: Event) -> int | None:
    """The customer, locked. A detached one names it only among its previous attributes."""
    previous = msgspec.convert((event.previous_attributes or {}).get("customer"), Reference | None)
    name = optional_id(found.customer) or (id_of(previous) if previous else None)
    if name is not None:
        return await customers.by_stripe_id(tenant, name)
    row = await tenant.get(_MIRROR.rows, found.id)
    if row is None:
        return None
    owner: int = row.owner["customer_id"]
    await customers.lock(tenant, owner)
    return owner

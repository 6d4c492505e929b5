"""End customers: our row first, then Stripe's customer, then the two bound. A crash anywhere is mended by repeating."""

from datetime import datetime
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import delete, select

from colonnade.access import audit
from colonnade.access.guard import Tenant
from colonnade.accounts.ownership import own
from colonnade.errors import Conflict, Invalid, NotFound, StripeRefused
from colonnade.etags import require_match
from colonnade.services import Services
from colonnade.stripe_api.charges import client_for
from colonnade_tenants import customers, locks, values
from colonnade_tenants.customers import Customer
from colonnade_tenants.entitlements import recompute
from colonnade_tenants.partition import TENANT
from colonnade_tenants.tables import customers as table
from colonnade_tenants.tables import entitlement_overrides

RESERVED = frozenset({"colonnade_tenant", "colonnade_customer", "reference"})
"""Metadata keys that are ours."""


class PutCustomer(Struct, frozen=True, forbid_unknown_fields=True):
    """What a tenant says of its customer. What is left out stays: Stripe lets no name or address be removed.

    *metadata*, where given, is all there is.
    """

    name: str | None = None
    email: str | None = None
    metadata: dict[str, str] | None = None


class CustomerView(Struct):
    """A customer, as the API shows it. *id* is ours (`ecu_…`); *reference* is null for one that Stripe told of."""

    id: str
    reference: str | None
    stripe_customer: str | None
    name: str | None
    email: str | None
    metadata: dict[str, str]
    created_at: datetime


def shown(customer: Customer) -> CustomerView:
    """The customer, as the API shows it."""
    return CustomerView(
        id=customer.public_id,
        reference=customer.reference,
        stripe_customer=customer.stripe_customer,
        name=customer.name,
        email=customer.email,
        metadata=customer.metadata,
        created_at=customer.created_at,
    )


async def put(
    services: Services, tenant: Tenant, reference: str, wanted: PutCustomer, if_match: str | None = None
) -> Customer:
    """Create or change the customer, here and at Stripe.

    Raises `Invalid`, `Conflict`, `PreconditionFailed` (before Stripe is asked), Stripe's errors.
    """
    _check(reference, wanted)
    customer = await _reserved(services, tenant, reference, wanted, if_match)
    known = _fields(customer) if customer.stripe_customer else {}
    # Names alone: the log is kept for good, and what they say is about a person.
    audit.note(after={"changed": sorted(name for name, value in _given(wanted).items() if value != known.get(name))})
    if customer.stripe_customer is None:
        customer = await _create(services, tenant, customer)
    fields = _fields(customer) | _given(wanted)
    if fields != _fields(customer):
        await _change(services, tenant, customer, fields)
        async with services.database.tenant(tenant.id) as session:
            customer, _ = await customers.reserve(session, reference, **fields)
    return customer


async def bound(services: Services, tenant: Tenant, reference: str) -> tuple[Customer, str]:
    """The customer and its Stripe id. Raises `NotFound`, `Conflict`."""
    async with services.database.tenant(tenant.id) as session:
        customer = await customers.get(session, reference)
    if customer.stripe_customer is None:
        raise Conflict("Stripe does not have this customer yet; repeat the PUT that creates it.", "reference")
    return customer, customer.stripe_customer


def _fields(customer: Customer) -> dict[str, Any]:
    return {"name": customer.name, "email": customer.email, "metadata": customer.metadata}


def _given(wanted: PutCustomer) -> dict[str, Any]:
    return {name: value for name, value in structs.asdict(wanted).items() if value is not None}


def _check(reference: str, wanted: PutCustomer) -> None:
    values.reference(reference)
    values.text(wanted.name, "name", 256)
    values.email(wanted.email)
    metadata = wanted.metadata or {}
    values.metadata(metadata)
    if len(metadata) > 50 - len(RESERVED):
        raise Invalid(f"At most {50 - len(RESERVED)} keys.", "metadata")
    for key in RESERVED & metadata.keys():
        raise Invalid("This key is set by Colonnade.", f"metadata.{key}")


async def _reserved(
    services: Services, tenant: Tenant, reference: str, wanted: PutCustomer, if_match: str | None
) -> Customer:
    """The row as it is, or a new one. One that is there keeps what it says until Stripe has taken the change."""
    async with services.database.tenant(tenant.id, final=False) as session:
        try:
            found = await customers.get(session, reference)
            require_match(if_match, shown(found))
            return found
        except NotFound:
            require_match(if_match, None)
            return (await customers.reserve(session, reference, **_given(wanted)))[0]


async def _create(services: Services, tenant: Tenant, customer: Customer) -> Customer:
    ours = {
        "colonnade_tenant": tenant.public_id,
        "colonnade_customer": customer.public_id,
        "reference": customer.reference or "",
    }
    # What the row says, not what this request wants: under its key a repeat has to be the same request.
    params = {"name": customer.name, "email": customer.email, "metadata": customer.metadata | ours}
    client = client_for(services.stripe, tenant)
    try:
        reply = await client.post("/v1/customers", params, idempotency_key=f"customer:{customer.public_id}")
    except StripeRefused:
        await _release(services, tenant, customer)
        raise
    async with services.database.tenant(tenant.id) as session:
        # In the worker's order, which has the event of this customer by now: else each could wait for the other.
        await locks.read_catalogue(await session.twin())
        bound = await customers.bind(session, customer, reply["id"])
        await own(session, tenant, reply["id"])
        if bound.id != customer.id:  # what was decided for it by hand has passed to the row of Stripe's events
            await recompute(await session.twin(), bound.id, f"customer:{bound.public_id}")
        return bound


async def _release(services: Services, tenant: Tenant, customer: Customer) -> None:
    """Take back a row that Stripe refused, so that nothing was written."""
    async with services.database.tenant(tenant.id, final=False) as session:
        decided = select(entitlement_overrides.c.id).where(
            entitlement_overrides.c.tenant_id == TENANT, entitlement_overrides.c.customer_id == customer.id
        )
        reserved = table.c.tenant_id == TENANT, table.c.id == customer.id, table.c.stripe_customer.is_(None)
        await session.execute(delete(table).where(*reserved, ~decided.exists()))


async def _change(services: Services, tenant: Tenant, customer: Customer, fields: dict[str, Any]) -> None:
    params = fields | {"metadata": dict.fromkeys(customer.metadata, "") | fields["metadata"]}
    await client_for(services.stripe, tenant).post(f"/v1/customers/{customer.stripe_customer}", params)

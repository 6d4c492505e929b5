"""What Stripe's events told of a customer's billing, to read."""

from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct, field
from sqlalchemy import Table, select, tuple_

from colonnade.access.guard import Tenant
from colonnade.errors import Invalid
from colonnade.services import Services
from colonnade.web import Page, from_cursor, page_of
from colonnade_tenants import customers, values
from colonnade_tenants.billing.tables import billing_details, invoices, payment_methods, tax_ids
from colonnade_tenants.partition import TENANT, TenantSession


class InvoiceView(Struct):
    """An invoice. Amounts are in the currency's smallest unit; *next_payment_attempt* is null where none follows.

    Whoever has *hosted_invoice_url* can see and pay the invoice.
    """

    id: str
    number: str | None
    status: str
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


class PaymentMethodView(Struct):
    """A payment method; *default* is the one that invoices are charged to unless their subscription has its own."""

    id: str
    type: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    default: bool = False


class TaxIdView(Struct):
    """A tax id; *verification* is null where Stripe does not verify its kind."""

    id: str
    type: str
    value: str
    country: str | None
    verification: str | None


class BillingView(Struct):
    """How Stripe bills the customer, who may edit this in the portal: never take it for who someone is."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    address: dict[str, Any] | None = None
    tax_exempt: str | None = None
    default_payment_method: str | None = None
    deleted: bool = False
    tax_ids: list[TaxIdView] = field(default_factory=list)


V = TypeVar("V", bound=Struct)


def _shown(view: type[V], row: Any) -> V:
    return view(**{name: row[name] for name in view.__struct_fields__ if name in row})


async def _kept(session: TenantSession, table: Table, customer_id: int) -> list[Any]:
    """The customer's rows that Stripe still has, by id."""
    found = select(table).where(
        table.c.tenant_id == TENANT, table.c.customer_id == customer_id, table.c.gone.is_(False)
    )
    return list((await session.execute(found.order_by(table.c.id))).mappings())


async def list_invoices(
    services: Services, tenant: Tenant, reference: str, limit: int, after: str | None
) -> Page[InvoiceView]:
    """The customer's invoices, newest first. Raises `NotFound`, `Invalid`."""
    place = _place(after)
    table = invoices.c
    async with services.database.tenant(tenant.id) as session:
        customer = await customers.get(session, reference)
        found = select(invoices).where(table.tenant_id == TENANT, table.customer_id == customer.id, ~table.gone)
        if place is not None:
            found = found.where(tuple_(table.created_at, table.id) < tuple_(*place))
        newest = found.order_by(table.created_at.desc(), table.id.desc()).limit(limit + 1)
        rows = list((await session.execute(newest)).mappings())
    return page_of(
        rows, limit, lambda row: f"{row['created_at'].timestamp():.0f} {row['id']}", partial(_shown, InvoiceView)
    )


def _place(after: str | None) -> tuple[datetime, str] | None:
    value = from_cursor(after)
    if value is None:
        return None
    seconds, _, name = value.partition(" ")
    values.stripe_id(name, "after")
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) < 11):
        raise Invalid("This is not the `next` of a page.", "after")
    return datetime.fromtimestamp(int(seconds), UTC), name


async def list_payment_methods(services: Services, tenant: Tenant, reference: str) -> list[PaymentMethodView]:
    """The customer's payment methods. Raises `NotFound`."""
    async with services.database.tenant(tenant.id) as session:
        customer = await customers.get(session, reference)
        rows = await _kept(session, payment_methods, customer.id)
        details = await _kept(session, billing_details, customer.id)
    default = details[0]["default_payment_method"] if details else None
    found = [_shown(PaymentMethodView, row) for row in rows]
    for each in found:
        each.default = each.id == default
    return found


async def billing(services: Services, tenant: Tenant, reference: str) -> BillingView:
    """How Stripe bills the customer; empty while no event told. Raises `NotFound`."""
    async with services.database.tenant(tenant.id) as session:
        customer = await customers.get(session, reference)
        found = select(billing_details).where(
            billing_details.c.tenant_id == TENANT, billing_details.c.customer_id == customer.id
        )
        row = (await session.execute(found)).mappings().one_or_none()
        ids = await _kept(session, tax_ids, customer.id)
    view = _shown(BillingView, row) if row else BillingView()
    view.deleted = bool(row and row["gone"])
    view.tax_ids = [_shown(TaxIdView, each) for each in ids]
    return view

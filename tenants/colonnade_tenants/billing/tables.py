"""The tables of what Stripe said last, one row for each object. The tenant's own word on its customers is elsewhere."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

from colonnade_tenants.columns import Timestamp
from colonnade_tenants.partition import tenant_table


def _mirror(name: str, *facts: SchemaItem) -> Table:
    return tenant_table(
        name,
        Column("id", Text, nullable=False),
        *facts,
        Column("source_created", Timestamp, nullable=False, comment="`created` of the newest event applied"),
        Column("source_event", Text, nullable=False, comment="evt_…, or `read`"),
        Column("source_before", LargeBinary, comment="digest of what was so before; empty: nothing; null: not known"),
        key=["id"],
    )


def _of_customer() -> tuple[SchemaItem, ...]:
    return (
        Column("customer_id", BigInteger, nullable=False),
        ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
        Index(None, "tenant_id", "customer_id"),
    )


def _gone() -> Column[bool]:
    return Column("gone", Boolean, nullable=False, comment="deleted or detached at Stripe, for good")


billing_details = _mirror(
    "billing_details",
    *_of_customer(),
    Column("name", Text),
    Column("email", Text, comment="for billing; the customer may edit it in the portal, so it is never an identity"),
    Column("phone", Text),
    Column("address", JSONB),
    Column("tax_exempt", Text),
    Column("default_payment_method", Text, comment="pm_…; a subscription may have its own"),
    _gone(),
)

tax_ids = _mirror(
    "tax_ids",
    *_of_customer(),
    Column("type", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("country", Text),
    Column("verification", Text, comment="pending, verified, unverified, unavailable"),
    _gone(),
)

payment_methods = _mirror(
    "payment_methods",
    *_of_customer(),
    Column("type", Text, nullable=False),
    Column("brand", Text),
    Column("last4", Text),
    Column("exp_month", Integer),
    Column("exp_year", Integer),
    _gone(),
)

subscription_schedules = _mirror(
    "subscription_schedules",
    *_of_customer(),
    Column("status", Text, nullable=False),
    Column("subscription", Text),
    Column("end_behavior", Text, nullable=False),
    Column("current_phase_start", Timestamp),
    Column("pending_start", Timestamp, comment="when the next phase starts; null: none follows"),
    Column("pending_items", JSONB, nullable=False, comment="[{price, quantity}] of that phase"),
    Index(None, "tenant_id", "subscription"),
)

invoices = _mirror(
    "invoices",
    *_of_customer(),
    Column("status", Text, nullable=False),
    Column("number", Text),
    Column("subscription", Text),
    Column("billing_reason", Text),
    Column("currency", Text, nullable=False),
    Column("total", BigInteger, nullable=False, comment="amounts are in the currency's smallest unit"),
    Column("amount_due", BigInteger, nullable=False),
    Column("amount_paid", BigInteger, nullable=False),
    Column("amount_remaining", BigInteger, nullable=False),
    Column("hosted_invoice_url", Text),
    Column("invoice_pdf", Text),
    Column("created_at", Timestamp, nullable=False),
    Column("due_at", Timestamp),
    Column("period_start", Timestamp, nullable=False),
    Column("period_end", Timestamp, nullable=False),
    Column("attempt_count", Integer, nullable=False),
    Column("next_payment_attempt", Timestamp, comment="null: no further try"),
    _gone(),
)

portal_configuration_states = _mirror(
    "portal_configuration_states",
    Column("name", Text),
    Column("active", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("updated_at", Timestamp, nullable=False, comment="Stripe's `updated`"),
    Column("settings", JSONB, nullable=False, comment="what the event showed; products are never in it"),
    Column("applied_updated", Timestamp, comment="`updated` of our own newest write that an event told of"),
    Column("outside_updated", Timestamp, comment="`updated` of the newest edit that was not ours"),
    Column("outside_event", Text),
)

portal_sessions = tenant_table(
    "portal_sessions",
    Column("id", Text, nullable=False, comment="bps_…"),
    *_of_customer(),
    Column("configuration", Text, nullable=False),
    Column("on_behalf_of", Text),
    Column("flow", Text, comment="null: the portal's home page"),
    Column("locale", Text),
    Column("created_at", Timestamp, nullable=False),
    Column("event", Text, nullable=False),
    key=["id"],
)
"""Who was let into a portal, and when. A session's URL is a secret, and not here."""

stripe_entitlements = _mirror(
    "stripe_entitlements",
    *_of_customer(),
    Column("lookup_keys", ARRAY(Text), nullable=False, comment="of Stripe's own active entitlements, sorted"),
)
"""What Stripe Entitlements say, by Stripe customer (`cus_…`): to compare with ours, never an authority."""

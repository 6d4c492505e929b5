"""Mirrors of customers' billing, what names an event's tenant, and calls of operators' own handlers

Revision: 0003, after 0002. 2026-11-22 16:20:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TENANT_TABLES = (
    "billing_details",
    "tax_ids",
    "payment_methods",
    "subscription_schedules",
    "invoices",
    "portal_configuration_states",
    "portal_sessions",
)
PLATFORM_TABLES = ("plan_objects", "extension_calls")

# What lives on a connected account is named with it from here on (`acct_…/cus_…`): ids there may be of its choosing.
QUALIFY = (
    """
UPDATE stripe_objects o SET id = t.stripe_account || '/' || o.id
FROM tenants t WHERE t.id = o.tenant_id AND t.charge_type = 'direct' AND position('/' in o.id) = 0
""",
    """
UPDATE inbox SET object_id = account || '/' || object_id
WHERE account IS NOT NULL AND state = 'pending' AND object_id <> account
""",
    """
INSERT INTO plan_objects (id, tenant_id)
SELECT coalesce(p.price, p.product), t.id FROM plans p JOIN tenants t ON t.id = p.tenant_id WHERE t.charge_type <> 'direct'
""",
)
# Without its account an id may be another's: whose it is then, nobody can say.
UNQUALIFY = (
    """
DELETE FROM stripe_objects o WHERE position('/' in o.id) > 0 AND EXISTS (
    SELECT FROM stripe_objects other
    WHERE other.id <> o.id AND split_part(o.id, '/', 2) IN (other.id, split_part(other.id, '/', 2))
)
""",
    "UPDATE stripe_objects SET id = split_part(id, '/', 2) WHERE position('/' in id) > 0",
    "UPDATE inbox SET object_id = split_part(object_id, '/', 2) WHERE account IS NOT NULL AND position('/' in object_id) > 0",
)


def _security() -> Iterator[str]:
    for table in TENANT_TABLES:
        yield from row_security.partition(table)
    for table in PLATFORM_TABLES:
        yield from row_security.protect(table)
        yield from row_security.across_tenants(table, "ALL", Duty.PLATFORM)
        yield from row_security.grant(table, "SELECT, INSERT, UPDATE, DELETE", [Duty.PLATFORM])
    yield from row_security.grant("plan_objects", "SELECT, INSERT, DELETE", [Duty.APP])
    yield from row_security.across_tenants("plan_objects", "SELECT", Duty.WORKER)
    yield from row_security.grant("plan_objects", "SELECT", [Duty.WORKER])
    yield from row_security.across_tenants("extension_calls", "ALL", Duty.WORKER)
    yield from row_security.grant("extension_calls", "SELECT, INSERT, UPDATE", [Duty.WORKER])


def _as_owner(*statements: str) -> Iterator[str]:
    """Run *statements* on the rows of all tenants, which the owner of the tables does not see either."""
    tables = ("tenants", "stripe_objects", "inbox", "plans", "plan_objects")
    for table in tables:
        yield f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"
    yield from statements
    for table in tables:
        yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.add_column(
        "inbox",
        sa.Column(
            "evidence",
            postgresql.JSONB(),
            nullable=True,
            comment="everything in it that names a tenant: [{rung, key, tenant}]",
        ),
    )
    op.create_table(
        "plan_objects",
        sa.Column("id", sa.Text(), nullable=False, comment="price_… or prod_…, on the platform's own account"),
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_plan_objects_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", "tenant_id", name=op.f("pk_plan_objects")),
        comment="what tenants' plans sell, for events of prices and products: they name no tenant",
    )
    op.create_index(op.f("ix_plan_objects_tenant_id"), "plan_objects", ["tenant_id"], unique=False)
    op.create_table(
        "extension_calls",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("inbox_id", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("extension", sa.Text(), nullable=False, comment="its entry point: package.module:function"),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True, comment="what it raised last"),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state in ('pending', 'done', 'dead')", name=op.f("ck_extension_calls_state")),
        sa.ForeignKeyConstraint(
            ["inbox_id"], ["inbox.id"], name=op.f("fk_extension_calls_inbox_id_inbox"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_extension_calls_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_extension_calls")),
        sa.UniqueConstraint("inbox_id", "extension", name=op.f("uq_extension_calls_inbox_id_extension")),
        comment="calls of operators' own handlers that failed at first",
    )
    op.create_index(
        "ix_extension_calls_pending",
        "extension_calls",
        ["not_before"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(op.f("ix_extension_calls_tenant_id"), "extension_calls", ["tenant_id"], unique=False)
    op.create_table(
        "billing_details",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column(
            "email",
            sa.Text(),
            nullable=True,
            comment="for billing; the customer may edit it in the portal, so it is never an identity",
        ),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("address", postgresql.JSONB(), nullable=True),
        sa.Column("tax_exempt", sa.Text(), nullable=True),
        sa.Column("default_payment_method", sa.Text(), nullable=True, comment="pm_…; a subscription may have its own"),
        sa.Column("gone", sa.Boolean(), nullable=False, comment="deleted or detached at Stripe, for good"),
        sa.Column(
            "source_created",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="`created` of the newest event applied",
        ),
        sa.Column("source_event", sa.Text(), nullable=False, comment="evt_…, or `read`"),
        sa.Column(
            "source_before",
            sa.LargeBinary(),
            nullable=True,
            comment="digest of what was so before; empty: nothing; null: not known",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_billing_details_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_billing_details")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        op.f("ix_billing_details_tenant_id_customer_id"), "billing_details", ["tenant_id", "customer_id"], unique=False
    )
    op.create_table(
        "tax_ids",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("verification", sa.Text(), nullable=True, comment="pending, verified, unverified, unavailable"),
        sa.Column("gone", sa.Boolean(), nullable=False, comment="deleted or detached at Stripe, for good"),
        sa.Column(
            "source_created",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="`created` of the newest event applied",
        ),
        sa.Column("source_event", sa.Text(), nullable=False, comment="evt_…, or `read`"),
        sa.Column(
            "source_before",
            sa.LargeBinary(),
            nullable=True,
            comment="digest of what was so before; empty: nothing; null: not known",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_tax_ids_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_tax_ids")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(op.f("ix_tax_ids_tenant_id_customer_id"), "tax_ids", ["tenant_id", "customer_id"], unique=False)
    op.create_table(
        "payment_methods",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("last4", sa.Text(), nullable=True),
        sa.Column("exp_month", sa.Integer(), nullable=True),
        sa.Column("exp_year", sa.Integer(), nullable=True),
        sa.Column("gone", sa.Boolean(), nullable=False, comment="deleted or detached at Stripe, for good"),
        sa.Column(
            "source_created",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="`created` of the newest event applied",
        ),
        sa.Column("source_event", sa.Text(), nullable=False, comment="evt_…, or `read`"),
        sa.Column(
            "source_before",
            sa.LargeBinary(),
            nullable=True,
            comment="digest of what was so before; empty: nothing; null: not known",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_payment_methods_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_payment_methods")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        op.f("ix_payment_methods_tenant_id_customer_id"), "payment_methods", ["tenant_id", "customer_id"], unique=False
    )
    op.create_table(
        "subscription_schedules",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=True),
        sa.Column("end_behavior", sa.Text(), nullable=False),
        sa.Column("current_phase_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "pending_start",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the next phase starts; null: none follows",
        ),
        sa.Column("pending_items", postgresql.JSONB(), nullable=False, comment="[{price, quantity}] of that phase"),
        sa.Column(
            "source_created",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="`created` of the newest event applied",
        ),
        sa.Column("source_event", sa.Text(), nullable=False, comment="evt_…, or `read`"),
        sa.Column(
            "source_before",
            sa.LargeBinary(),
            nullable=True,
            comment="digest of what was so before; empty: nothing; null: not known",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_subscription_schedules_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_subscription_schedules")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        op.f("ix_subscription_schedules_tenant_id_customer_id"),
        "subscription_schedules",
        ["tenant_id", "customer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_subscription_schedules_tenant_id_subscription"),
        "subscription_schedules",
        ["tenant_id", "subscription"],
        unique=False,
    )
    op.create_table(
        "invoices",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("subscription", sa.Text(), nullable=True),
        sa.Column("billing_reason", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False, comment="amounts are in the currency's smallest unit"),
        sa.Column("amount_due", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid", sa.BigInteger(), nullable=False),
        sa.Column("amount_remaining", sa.BigInteger(), nullable=False),
        sa.Column("hosted_invoice_url", sa.Text(), nullable=True),
        sa.Column("invoice_pdf", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("next_payment_attempt", sa.DateTime(timezone=True), nullable=True, comment="null: no further try"),
        sa.Column("gone", sa.Boolean(), nullable=False, comment="deleted or detached at Stripe, for good"),
        sa.Column(
            "source_created",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="`created` of the newest event applied",
        ),
        sa.Column("source_event", sa.Text(), nullable=False, comment="evt_…, or `read`"),
        sa.Column(
            "source_before",
            sa.LargeBinary(),
            nullable=True,
            comment="digest of what was so before; empty: nothing; null: not known",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_invoices_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_invoices")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(op.f("ix_invoices_tenant_id_customer_id"), "invoices", ["tenant_id", "customer_id"], unique=False)
    op.create_table(
        "portal_configuration_states",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, comment="Stripe's `updated`"),
        sa.Column(
            "settings", postgresql.JSONB(), nullable=False, comment="what the event showed; products are never in it"
        ),
        sa.Column(
            "applied_updated",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="`updated` of our own newest write that an event told of",
        ),
        sa.Column(
            "outside_updated",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="`updated` of the newest edit that was not ours",
        ),
        sa.Column("outside_event", sa.Text(), nullable=True),
        sa.Column(
            "source_created",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="`created` of the newest event applied",
        ),
        sa.Column("source_event", sa.Text(), nullable=False, comment="evt_…, or `read`"),
        sa.Column(
            "source_before",
            sa.LargeBinary(),
            nullable=True,
            comment="digest of what was so before; empty: nothing; null: not known",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_portal_configuration_states")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "portal_sessions",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="bps_…"),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("configuration", sa.Text(), nullable=False),
        sa.Column("on_behalf_of", sa.Text(), nullable=True),
        sa.Column("flow", sa.Text(), nullable=True, comment="null: the portal's home page"),
        sa.Column("locale", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_portal_sessions_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_portal_sessions")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        op.f("ix_portal_sessions_tenant_id_customer_id"), "portal_sessions", ["tenant_id", "customer_id"], unique=False
    )
    for statement in (*_security(), *_as_owner(*QUALIFY)):
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for statement in _as_owner(*UNQUALIFY):
        op.execute(statement)
    for table in (*reversed(TENANT_TABLES), *reversed(PLATFORM_TABLES)):
        op.drop_table(table)
    op.drop_column("inbox", "evidence")

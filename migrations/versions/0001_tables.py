"""The tables, their partitions, policies and grants

Revision: 0001, after nothing. 2026-11-22 14:36:41.442571
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANT_TABLES = (
    "connected_accounts",
    "customers",
    "features",
    "plans",
    "plan_grants",
    "subscriptions",
    "subscription_items",
    "entitlements",
    "entitlement_changes",
)

# One round trip: the tenant is set and its rows are read by one call, which is a transaction of its own.
CHECK_ENTITLEMENTS = """
CREATE FUNCTION check_entitlements(tenant bigint, customer text)
RETURNS TABLE (
    feature text, kind text, unit text,
    granted boolean, value bigint, valid_from timestamptz, valid_until timestamptz, sources text[],
    as_of timestamptz
)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    RETURN QUERY
    SELECT f.key, f.kind, f.unit, e.feature IS NOT NULL, e.value, e.valid_from, e.valid_until, e.sources,
        now()
    FROM customers c
    LEFT JOIN features f ON f.tenant_id = tenant
    LEFT JOIN entitlements e ON e.tenant_id = tenant AND e.customer_id = c.id AND e.feature = f.key
        AND e.valid_from <= now() AND (e.valid_until IS NULL OR e.valid_until > now())
    WHERE c.tenant_id = tenant AND c.reference = customer
    ORDER BY f.key;
END
$$
"""


def _security() -> Iterator[str]:
    for table in TENANT_TABLES:
        yield from row_security.partition(table)
    yield from row_security.protect("tenants", column="id")
    for table in ("branding", "portal_configurations", "stripe_objects", "api_keys", "inbox"):
        yield from row_security.protect(table)
    for table in ("tenants", "branding", "portal_configurations", "stripe_objects", "api_keys", "inbox"):
        yield from row_security.across_tenants(table, "ALL", Duty.PLATFORM)
        yield from row_security.grant(table, "SELECT, INSERT, UPDATE, DELETE", [Duty.PLATFORM])

    # A tenant's own requests: their branding and configurations; the rest to read, or to add to.
    yield from row_security.grant("branding, portal_configurations", "SELECT, INSERT, UPDATE, DELETE", [Duty.APP])
    yield from row_security.grant("stripe_objects", "SELECT, INSERT", [Duty.APP])
    yield from row_security.grant("tenants, inbox", "SELECT", [Duty.APP])

    # The worker claims any event and asks which tenant it belongs to; it writes as that tenant.
    yield from row_security.across_tenants("inbox", "ALL", Duty.WORKER)
    yield from row_security.grant("inbox", "SELECT, UPDATE", [Duty.WORKER])
    for table in ("tenants", "stripe_objects"):
        yield from row_security.across_tenants(table, "SELECT", Duty.WORKER)
    yield from row_security.grant("tenants", "SELECT", [Duty.WORKER])
    yield from row_security.grant("stripe_objects", "SELECT, INSERT", [Duty.WORKER])
    yield from row_security.grant("portal_configurations", "SELECT", [Duty.WORKER])

    # Receiving may add to the inbox for any tenant, and cannot read it back.
    yield from row_security.across_tenants("inbox", "INSERT", Duty.INGEST)
    yield from row_security.grant("inbox", "INSERT", [Duty.INGEST])

    yield CHECK_ENTITLEMENTS
    yield f"GRANT SELECT ON alembic_version TO {Duty.APP}, {Duty.PLATFORM}, {Duty.WORKER}"


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.create_table(
        "tenants",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False, comment="ten_…"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("charge_type", sa.Text(), nullable=False),
        sa.Column("stripe_account", sa.Text(), nullable=True, comment="acct_…; null while Stripe is being asked"),
        sa.Column("application_fee_percent", sa.Numeric(precision=5, scale=2), nullable=True),
        sa.Column("return_origins", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True, comment="of the request that created it"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="SHA-256 of that request's body"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("charge_type in ('direct', 'destination', 'separate')", name=op.f("ck_tenants_charge_type")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_tenants_idempotency_key")),
        sa.UniqueConstraint("public_id", name=op.f("uq_tenants_public_id")),
        sa.UniqueConstraint("stripe_account", name=op.f("uq_tenants_stripe_account")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False, comment="key_…"),
        sa.Column("tenant_id", sa.BigInteger(), nullable=True, comment="null: a key of the platform team"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the whole key"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_api_keys_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
        sa.UniqueConstraint("public_id", name=op.f("uq_api_keys_public_id")),
    )
    op.create_index(op.f("ix_api_keys_tenant_id"), "api_keys", ["tenant_id"], unique=False)
    op.create_table(
        "branding",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "settings",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="what the tenant asked for",
        ),
        sa.Column("state", sa.Text(), nullable=False, comment="pending, applied, or refused by Stripe"),
        sa.Column("problem", sa.Text(), nullable=True, comment="why Stripe refused it"),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("state in ('pending', 'applied', 'refused')", name=op.f("ck_branding_state")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_branding_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_branding")),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False, comment="the queue's key: work on one object is serial"),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("api_version", sa.Text(), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="the exact bytes that were signed"),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=True),
        sa.Column("rung", sa.Text(), nullable=True, comment="what named the tenant"),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it is ignored, quarantined or dead"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("endpoint in ('platform', 'connect')", name=op.f("ck_inbox_endpoint")),
        sa.CheckConstraint(
            "state in ('pending', 'done', 'ignored', 'quarantined', 'dead')", name=op.f("ck_inbox_state")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_inbox_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("event_id", name=op.f("uq_inbox_event_id")),
    )
    op.create_index("ix_inbox_pending", "inbox", ["id"], unique=False, postgresql_where=sa.text("state = 'pending'"))
    op.create_index(
        "ix_inbox_pending_object",
        "inbox",
        ["object_id", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_inbox_tenant", "inbox", ["tenant_id", "id"], unique=False)
    op.create_table(
        "portal_configurations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default="false", nullable=False),
        sa.Column(
            "settings",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="desired state, in canonical form",
        ),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stripe_configuration", sa.Text(), nullable=True, comment="bpc_…; null until Stripe has it"),
        sa.Column("applied_version", sa.Integer(), nullable=True, comment="the version that Stripe has"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_portal_configurations_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_portal_configurations")),
        sa.UniqueConstraint("stripe_configuration", name=op.f("uq_portal_configurations_stripe_configuration")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_portal_configurations_tenant_id_name")),
    )
    op.create_index(
        "uq_portal_configurations_default",
        "portal_configurations",
        ["tenant_id"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )
    op.create_table(
        "stripe_objects",
        sa.Column("id", sa.Text(), nullable=False, comment="cus_…, sub_…, bpc_…"),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_stripe_objects_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stripe_objects")),
        comment="which tenant a Stripe object belongs to, for events that do not say so themselves",
    )
    op.create_index(op.f("ix_stripe_objects_tenant_id"), "stripe_objects", ["tenant_id"], unique=False)
    op.create_table(
        "connected_accounts",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("stripe_account", sa.Text(), nullable=False),
        sa.Column("charges_enabled", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("payouts_enabled", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("details_submitted", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("capabilities", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("requirements", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column(
            "disconnected_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="`created` of the event that took our access away; null: we have it",
        ),
        sa.Column(
            "authorized_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="`created` of the newest event that gave us access",
        ),
        sa.Column(
            "source_created",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="`created` of the newest event applied",
        ),
        sa.Column("source_event", sa.Text(), nullable=True, comment="null: a read"),
        sa.Column(
            "source_before",
            sa.LargeBinary(),
            nullable=True,
            comment="digest of what was so before; empty: nothing; null: not known",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "stripe_account", name=op.f("pk_connected_accounts")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "customers",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column(
            "reference",
            sa.Text(),
            nullable=True,
            comment="the tenant's own id; null for one that Stripe told of first",
        ),
        sa.Column(
            "stripe_customer",
            sa.Text(),
            nullable=True,
            comment="null while the row is reserved and Stripe has not answered",
        ),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True, comment="for billing; never an identity"),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_customers")),
        sa.UniqueConstraint("tenant_id", "public_id", name=op.f("uq_customers_tenant_id_public_id")),
        sa.UniqueConstraint("tenant_id", "reference", name=op.f("uq_customers_tenant_id_reference")),
        sa.UniqueConstraint("tenant_id", "stripe_customer", name=op.f("uq_customers_tenant_id_stripe_customer")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "features",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind in ('flag', 'limit', 'quantity')", name=op.f("ck_features_kind")),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("pk_features")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "plans",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=True, comment="price_…; a price wins over its product"),
        sa.Column("product", sa.Text(), nullable=True, comment="prod_…"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("num_nonnulls(price, product) = 1", name=op.f("ck_plans_price_or_product")),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("pk_plans")),
        sa.UniqueConstraint("tenant_id", "price", name=op.f("uq_plans_tenant_id_price")),
        sa.UniqueConstraint("tenant_id", "product", name=op.f("uq_plans_tenant_id_product")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "entitlement_changes",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="counts up by one per customer"),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column(
            "before",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="the feature's rows before; null: none",
        ),
        sa.Column(
            "after",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="the feature's rows after; null: none",
        ),
        sa.Column("cause", sa.Text(), nullable=False, comment="the event (evt_…), or what else caused it"),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_entitlement_changes_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", "sequence", name=op.f("pk_entitlement_changes")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "entitlements",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True, comment="exclusive; null: no end known"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=True, comment="null: no limit; 1 for a flag"),
        sa.Column(
            "sources",
            sa.ARRAY(sa.Text()),
            nullable=False,
            comment="the subscription items (si_…) that grant it",
        ),
        sa.CheckConstraint("valid_until > valid_from", name=op.f("ck_entitlements_interval")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_entitlements_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", "feature", "valid_from", name=op.f("pk_entitlements")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "plan_grants",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=True, comment="null: no limit; 1 for a flag"),
        sa.Column(
            "per_unit",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="times the item's quantity",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "feature"],
            ["features.tenant_id", "features.key"],
            name=op.f("fk_plan_grants_tenant_id_feature_features"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "plan"],
            ["plans.tenant_id", "plans.key"],
            name=op.f("fk_plan_grants_tenant_id_plan_plans"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "plan", "feature", name=op.f("pk_plan_grants")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "subscriptions",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="sub_…"),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, comment="Stripe's start_date"),
        sa.Column("cancel_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_at_period_end", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trial_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "past_due_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="`created` of the event that brought past_due",
        ),
        sa.Column(
            "past_due_exact",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="false: that event is still missing, and this is the earliest that said past_due",
        ),
        sa.Column("schedule", sa.Text(), nullable=True),
        sa.Column("on_behalf_of", sa.Text(), nullable=True),
        sa.Column(
            "source_created",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="`created` of the newest event applied",
        ),
        sa.Column("source_event", sa.Text(), nullable=False),
        sa.Column(
            "source_before",
            sa.LargeBinary(),
            nullable=True,
            comment="digest of what was so before; empty: nothing; null: not known",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_subscriptions_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_subscriptions")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        op.f("ix_subscriptions_tenant_id_customer_id"),
        "subscriptions",
        ["tenant_id", "customer_id"],
        unique=False,
    )
    op.create_table(
        "subscription_items",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="si_…"),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("current_period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("current_period_end", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "subscription"],
            ["subscriptions.tenant_id", "subscriptions.id"],
            name=op.f("fk_subscription_items_tenant_id_subscription_subscriptions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "subscription", "id", name=op.f("pk_subscription_items")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        op.f("ix_subscription_items_tenant_id_price"),
        "subscription_items",
        ["tenant_id", "price"],
        unique=False,
    )
    op.create_index(
        op.f("ix_subscription_items_tenant_id_product"),
        "subscription_items",
        ["tenant_id", "product"],
        unique=False,
    )
    for statement in _security():
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute("DROP FUNCTION check_entitlements")
    for table in (
        "subscription_items",
        "subscriptions",
        "plan_grants",
        "entitlements",
        "entitlement_changes",
        "plans",
        "features",
        "customers",
        "connected_accounts",
        "stripe_objects",
        "portal_configurations",
        "inbox",
        "branding",
        "api_keys",
        "tenants",
    ):
        op.drop_table(table)

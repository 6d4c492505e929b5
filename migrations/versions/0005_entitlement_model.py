"""Versions of features, plans and policy, overrides, and what changes of them reach

Revision: 0005, after 0004. 2026-11-22 17:55:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TENANT_TABLES = ("feature_versions", "plan_versions", "entitlement_policies", "entitlement_overrides")
PLATFORM_TABLES = ("recomputations", "entitlement_clocks")

# What a tenant had until now held from the beginning: nothing of it was ever promised from a moment.
FIRST_VERSIONS = (
    "UPDATE features SET combine = CASE kind WHEN 'flag' THEN 'or' WHEN 'quantity' THEN 'sum' ELSE 'max' END",
    """
INSERT INTO feature_versions (tenant_id, feature, version, kind, combine, fallback, recorded_at)
SELECT tenant_id, key, version, kind, combine, fallback, updated_at FROM features
""",
    """
INSERT INTO plan_versions (tenant_id, plan, version, price, product, grants, recorded_at)
SELECT p.tenant_id, p.key, p.version, p.price, p.product,
    coalesce(jsonb_agg(jsonb_build_object(
        'feature', g.feature, 'kind', f.kind, 'value', g.value, 'per_unit', g.per_unit
    ) ORDER BY g.feature) FILTER (WHERE g.feature IS NOT NULL), '[]'), p.updated_at
FROM plans p
LEFT JOIN plan_grants g ON g.tenant_id = p.tenant_id AND g.plan = p.key
LEFT JOIN features f ON f.tenant_id = g.tenant_id AND f.key = g.feature
GROUP BY p.tenant_id, p.key
""",
)

# One round trip: the tenant is set and its rows are read by one call, which is a transaction of its own.
CHECK_ENTITLEMENTS = """
CREATE OR REPLACE FUNCTION check_entitlements(tenant bigint, customer text)
RETURNS TABLE (
    feature text, kind text, unit text,
    granted boolean, value bigint, valid_from timestamptz, valid_until timestamptz, sources text[],
    as_of timestamptz
)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    RETURN QUERY
    SELECT f.key, f.kind, f.unit,
        CASE WHEN e.feature IS NULL THEN coalesce(f.fallback > 0, false) ELSE e.value IS NULL OR e.value > 0 END,
        CASE WHEN e.feature IS NULL THEN f.fallback ELSE e.value END,
        e.valid_from, e.valid_until, e.sources, now()
    FROM customers c
    LEFT JOIN features f ON f.tenant_id = tenant
    LEFT JOIN entitlements e ON e.tenant_id = tenant AND e.customer_id = c.id AND e.feature = f.key
        AND e.valid_from <= now() AND (e.valid_until IS NULL OR e.valid_until > now())
    WHERE c.tenant_id = tenant AND c.reference = customer
    ORDER BY f.key;
END
$$
"""
CHECK_ENTITLEMENTS_BEFORE = """
CREATE OR REPLACE FUNCTION check_entitlements(tenant bigint, customer text)
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
    for table in PLATFORM_TABLES:
        yield from row_security.protect(table)
        yield from row_security.across_tenants(table, "ALL", Duty.PLATFORM)
        yield from row_security.across_tenants(table, "ALL", Duty.WORKER)
        yield from row_security.grant(table, "SELECT, INSERT, UPDATE, DELETE", [Duty.PLATFORM])
    yield from row_security.grant("recomputations", "SELECT, UPDATE", [Duty.WORKER])
    yield from row_security.grant("recomputations", "SELECT, INSERT", [Duty.APP])
    yield from row_security.grant("entitlement_clocks", "SELECT, INSERT, UPDATE", [Duty.WORKER])


def _as_owner(*statements: str) -> Iterator[str]:
    """Run *statements* on the rows of all tenants, which the owner of the tables does not see either."""
    tables = ("features", "plans", "plan_grants", "feature_versions", "plan_versions")
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
        "features",
        sa.Column(
            "combine", sa.Text(), server_default="max", nullable=False, comment="what several grants give: or, max, sum"
        ),
    )
    op.add_column(
        "features",
        sa.Column(
            "fallback",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="the value where nothing grants any",
        ),
    )
    op.add_column("features", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.create_check_constraint(op.f("ck_features_combine"), "features", "combine in ('or', 'max', 'sum')")
    op.add_column("plans", sa.Column("version", sa.Integer(), server_default="1", nullable=False))
    op.add_column(
        "subscriptions",
        sa.Column(
            "pause_behavior", sa.Text(), nullable=True, comment="of pause_collection; null: collection is not paused"
        ),
    )
    op.add_column("subscriptions", sa.Column("pause_resumes_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "entitlement_changes",
        sa.Column(
            "reasons", postgresql.JSONB(), nullable=True, comment="why the rows after are as they are; null: not noted"
        ),
    )
    op.alter_column(
        "entitlement_changes",
        "at",
        new_column_name="recorded_at",
        server_default=sa.text("clock_timestamp()"),
        comment="when believed",
    )
    op.alter_column(
        "entitlement_changes",
        "cause",
        comment="evt_…, override:ovr_…, plan:KEY@VERSION, policy@VERSION, clock, import",
    )
    op.create_table(
        "feature_versions",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=True, comment="null: from the beginning"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("combine", sa.Text(), nullable=False),
        sa.Column("fallback", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=True, comment="key_… of the API key"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "feature", "version", name=op.f("pk_feature_versions")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "plan_versions",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=True, comment="null: from the beginning"),
        sa.Column("price", sa.Text(), nullable=True),
        sa.Column("product", sa.Text(), nullable=True, comment="null, as the price: deleted"),
        sa.Column("grants", postgresql.JSONB(), nullable=False, comment="[{feature, kind, value, per_unit}]"),
        sa.Column("author", sa.Text(), nullable=True, comment="key_… of the API key"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("num_nonnulls(price, product) <= 1", name=op.f("ck_plan_versions_price_or_product")),
        sa.PrimaryKeyConstraint("tenant_id", "plan", "version", name=op.f("pk_plan_versions")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(op.f("ix_plan_versions_tenant_id_price"), "plan_versions", ["tenant_id", "price"], unique=False)
    op.create_index(op.f("ix_plan_versions_tenant_id_product"), "plan_versions", ["tenant_id", "product"], unique=False)
    op.create_table(
        "entitlement_policies",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "grace_days", sa.Integer(), nullable=True, comment="of grace while past_due; null: until Stripe gives up"
        ),
        sa.Column("trials", sa.Boolean(), nullable=False, comment="whether trialing grants"),
        sa.Column("pause_collection", sa.Text(), nullable=False, comment="what it does to access: grants, suspends"),
        sa.Column("author", sa.Text(), nullable=True, comment="key_… of the API key"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "pause_collection in ('grants', 'suspends')", name=op.f("ck_entitlement_policies_pause_collection")
        ),
        sa.CheckConstraint("grace_days between 0 and 365", name=op.f("ck_entitlement_policies_grace_days")),
        sa.PrimaryKeyConstraint("tenant_id", "version", name=op.f("pk_entitlement_policies")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "entitlement_overrides",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False, comment="ovr_…"),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="the feature's"),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=True, comment="null: no limit; 1 for a flag, 0 for a denial"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False, comment="who decided it, in the tenant's words"),
        sa.Column("author_key", sa.Text(), nullable=True, comment="key_… of the API key"),
        sa.Column("starts_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True, comment="exclusive; null: no end was set"),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_by", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="SHA-256 of the request"),
        sa.CheckConstraint("effect in ('grant', 'set', 'deny')", name=op.f("ck_entitlement_overrides_effect")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_entitlement_overrides_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_entitlement_overrides")),
        sa.UniqueConstraint(
            "tenant_id", "idempotency_key", name=op.f("uq_entitlement_overrides_tenant_id_idempotency_key")
        ),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        op.f("ix_entitlement_overrides_tenant_id_customer_id"),
        "entitlement_overrides",
        ["tenant_id", "customer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_entitlement_overrides_tenant_id_feature"),
        "entitlement_overrides",
        ["tenant_id", "feature"],
        unique=False,
    )
    op.create_table(
        "recomputations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False, comment="rec_…"),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False, comment="plan:KEY@VERSION, policy@VERSION, feature:KEY@VERSION"),
        sa.Column("scope", postgresql.JSONB(), nullable=False, comment="whose entitlements it changes"),
        sa.Column("position", sa.BigInteger(), nullable=False, comment="the last customer done, by internal id"),
        sa.Column("total", sa.BigInteger(), nullable=False, comment="customers, as counted at the start"),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="tries since the last batch that was done",
        ),
        sa.Column("problem", sa.Text(), nullable=True, comment="why the last batch failed"),
        sa.Column("not_before", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state in ('running', 'done')", name=op.f("ck_recomputations_state")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_recomputations_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recomputations")),
        sa.UniqueConstraint("public_id", name=op.f("uq_recomputations_public_id")),
        comment="changes of plans and policies on their way through the customers they reach",
    )
    op.create_index(
        "ix_recomputations_running",
        "recomputations",
        ["not_before"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index(op.f("ix_recomputations_tenant_id_id"), "recomputations", ["tenant_id", "id"], unique=False)
    op.create_table(
        "entitlement_clocks",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "noted_until",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="ends and starts by the clock are in the history up to it",
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_entitlement_clocks_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_entitlement_clocks")),
    )
    op.create_index(op.f("ix_entitlement_clocks_noted_until"), "entitlement_clocks", ["noted_until"], unique=False)
    op.create_index(
        "ix_entitlements_valid_until",
        "entitlements",
        ["tenant_id", "valid_until"],
        postgresql_where=sa.text("valid_until is not null"),
    )
    for statement in (*_security(), *_as_owner(*FIRST_VERSIONS), CHECK_ENTITLEMENTS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute(CHECK_ENTITLEMENTS_BEFORE)
    op.drop_index("ix_entitlements_valid_until", "entitlements")
    for table in (*PLATFORM_TABLES, *TENANT_TABLES):
        op.drop_table(table)
    op.alter_column(
        "entitlement_changes",
        "cause",
        comment="the event (evt_…), or what else caused it",
    )
    op.alter_column(
        "entitlement_changes", "recorded_at", new_column_name="at", server_default=sa.text("now()"), comment=None
    )
    op.drop_column("entitlement_changes", "reasons")
    for column in ("pause_resumes_at", "pause_behavior"):
        op.drop_column("subscriptions", column)
    op.drop_column("plans", "version")
    op.drop_constraint(op.f("ck_features_combine"), "features")
    for column in ("version", "fallback", "combine"):
        op.drop_column("features", column)

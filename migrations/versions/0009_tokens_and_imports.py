"""Signing keys of entitlement tokens, imports of existing customers, and Stripe's own view of entitlements

Revision: 0009, after 0008. 2026-11-22 18:50:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _security() -> Iterator[str]:
    yield from row_security.partition("stripe_entitlements")
    for table in ("signing_keys", "imports"):
        yield from row_security.protect(table)
        yield from row_security.across_tenants(table, "ALL", Duty.PLATFORM)
        yield from row_security.grant(table, "SELECT, INSERT, UPDATE, DELETE", [Duty.PLATFORM])
    yield from row_security.grant("signing_keys", "SELECT, INSERT, UPDATE, DELETE", [Duty.APP])
    yield from row_security.across_tenants("imports", "ALL", Duty.WORKER)
    yield from row_security.grant("imports", "SELECT, INSERT, UPDATE", [Duty.WORKER])


def _time(name: str, *, nullable: bool = False, comment: str | None = None, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable, comment=comment)


def _create_signing_keys() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False, comment="sgk_…: the `kid` of tokens"),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("private_key", sa.Text(), nullable=False, comment="PKCS #8 in PEM, encrypted"),
        sa.Column("public_key", postgresql.JSONB(), nullable=False, comment="as a JSON Web Key"),
        _time("signs_from", comment="until a later key's"),
        _time("published_until", nullable=True, comment="null: no later key is there"),
        _time("created_at", now=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signing_keys")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_signing_keys_tenant_id_tenants")),
        sa.UniqueConstraint("public_id", name=op.f("uq_signing_keys_public_id")),
    )
    op.create_index(op.f("ix_signing_keys_tenant_id"), "signing_keys", ["tenant_id"])


def _create_imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False, comment="imp_…"),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "reference_key", sa.Text(), comment="the customers' metadata key that has their references; null: none has"
        ),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.Column("step", sa.Text(), nullable=False, comment="what is listed: customers, subscriptions"),
        sa.Column("position", sa.Text(), comment="the last object of the pages that are done; null: none is"),
        sa.Column("counts", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column(
            "findings", postgresql.JSONB(), server_default="[]", nullable=False, comment="the first: {object, reason}"
        ),
        sa.Column("problem", sa.Text(), comment="why it stopped; while running it is tried again"),
        _time("created_at", now=True),
        _time("finished_at", nullable=True),
        sa.CheckConstraint("state in ('running', 'done', 'failed')", name=op.f("ck_imports_state")),
        sa.CheckConstraint("step in ('customers', 'subscriptions')", name=op.f("ck_imports_step")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_imports_tenant_id_tenants")),
        sa.UniqueConstraint("public_id", name=op.f("uq_imports_public_id")),
    )
    running = sa.text("state = 'running'")
    op.create_index("uq_imports_running", "imports", ["tenant_id"], unique=True, postgresql_where=running)
    op.create_index(op.f("ix_imports_tenant_id_public_id"), "imports", ["tenant_id", "public_id"])


def _create_stripe_entitlements() -> None:
    op.create_table(
        "stripe_entitlements",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "lookup_keys",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="of Stripe's own active entitlements, sorted",
        ),
        _time("source_created", comment="`created` of the newest event applied"),
        sa.Column("source_event", sa.Text(), nullable=False, comment="evt_…, or `read`"),
        sa.Column(
            "source_before", sa.LargeBinary(), comment="digest of what was so before; empty: nothing; null: not known"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_stripe_entitlements_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_stripe_entitlements")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        op.f("ix_stripe_entitlements_tenant_id_customer_id"), "stripe_entitlements", ["tenant_id", "customer_id"]
    )


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _create_signing_keys()
    _create_imports()
    _create_stripe_entitlements()
    for statement in _security():
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for table in ("stripe_entitlements", "imports", "signing_keys"):
        op.drop_table(table)

"""Readiness in one word with its history, accounts that connect by OAuth, and accounts of the V2 API

Revision: 0015, after 0012. 2026-11-23 00:10:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0015"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = ("tenant_readiness", "readiness_changes", "account_connections")
READERS = ("tenant_readiness", "tenants", "connected_accounts")

# What the mirror says without its words; they come with the next event, or the next look.
ASSESS = """
INSERT INTO tenant_readiness (tenant_id, state, since)
SELECT t.id, CASE
    WHEN a.disconnected_at IS NOT NULL THEN 'disconnected'
    WHEN a.requirements ->> 'disabled_reason' LIKE 'rejected.%' THEN 'rejected'
    WHEN NOT a.details_submitted THEN 'onboarding'
    WHEN NOT (a.charges_enabled AND a.payouts_enabled) OR a.requirements ->> 'disabled_reason' IS NOT NULL
        OR a.capabilities ->> 'card_payments' IS DISTINCT FROM 'active'
        OR (t.charge_type <> 'direct' AND a.capabilities ->> 'transfers' IS DISTINCT FROM 'active')
        OR jsonb_path_exists(a.requirements, '$.past_due[0]') THEN 'restricted'
    WHEN jsonb_path_exists(a.requirements, '$.currently_due[0]') THEN 'restricted_soon'
    ELSE 'ready'
END, greatest(a.source_created, t.created_at)
FROM tenants t JOIN connected_accounts a ON a.tenant_id = t.id AND a.stripe_account = t.stripe_account
"""


def _security() -> Iterator[str]:
    for table in TABLES:
        yield from row_security.protect(table)
        yield from row_security.across_tenants(table, "ALL", Duty.PLATFORM)
        yield from row_security.grant(table, "SELECT, INSERT, UPDATE, DELETE", [Duty.PLATFORM])
    handlers = [Duty.APP, Duty.WORKER]
    yield from row_security.grant("tenant_readiness", "SELECT, INSERT, UPDATE", handlers)
    yield from row_security.grant("readiness_changes", "SELECT, INSERT", handlers)


def _time(name: str, comment: str | None = None, *, null: bool = False, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=null, comment=comment)


def _text(name: str, comment: str | None = None, *, null: bool = True, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=null, server_default=default, comment=comment)


def _of_tenant(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id_tenants"))


def _extend() -> None:
    op.add_column(
        "connected_accounts", sa.Column("future_requirements", postgresql.JSONB(), server_default="{}", nullable=False)
    )
    api = _text("account_api", "Stripe's, that made the account", null=False, default="v1")
    op.add_column("tenants", api)
    op.create_check_constraint(op.f("ck_tenants_account_api"), "tenants", "account_api in ('v1', 'v2')")
    op.alter_column("tenants", "stripe_account", comment="acct_…; null until it is made, adopted or connected")


def _create_readiness() -> None:
    states = "'onboarding', 'ready', 'restricted_soon', 'restricted', 'rejected', 'disconnected'"
    op.create_table(
        "tenant_readiness",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        _text("state", null=False),
        _text("reason", "why, in a sentence; null: nothing is wrong"),
        sa.Column(
            "waits_for",
            postgresql.ARRAY(sa.Text()),
            server_default="{}",
            nullable=False,
            comment="business, representative, …",
        ),
        _time("deadline", "the earliest of what is due", null=True),
        _time("since", "when the state came about"),
        sa.CheckConstraint(f"state in ({states})", name=op.f("ck_tenant_readiness_state")),
        _of_tenant("tenant_readiness"),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenant_readiness")),
        comment="one word per tenant, for the platform team's worklist; what it is made from is in connected_accounts",
    )
    op.create_index(op.f("ix_tenant_readiness_state_tenant_id"), "tenant_readiness", ["state", "tenant_id"])


def _create_changes() -> None:
    op.create_table(
        "readiness_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        _text("public_id", "rdy_…", null=False),
        _text("account", "acct_…", null=False),
        _text("previous", "null: the first that is known"),
        _text("state", null=False),
        _text("reason", "why, in a sentence; null: nothing is wrong"),
        _text("cause", "evt_… of the event; `read`: it was found by reading the account", null=False),
        _time("at", "Stripe's time of the cause"),
        _time("recorded_at", now=True),
        _of_tenant("readiness_changes"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_readiness_changes")),
        sa.UniqueConstraint("public_id", name=op.f("uq_readiness_changes_public_id")),
        comment="append-only",
    )
    op.create_index(op.f("ix_readiness_changes_tenant_id_public_id"), "readiness_changes", ["tenant_id", "public_id"])


def _create_connections() -> None:
    states = "'pending', 'connected', 'denied', 'failed'"
    op.create_table(
        "account_connections",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        _text("public_id", "con_…", null=False),
        _text("state", null=False, default="pending"),
        _text("return_url", "null: our own page says how it went"),
        sa.Column(
            "used",
            postgresql.ARRAY(sa.LargeBinary()),
            server_default="{}",
            nullable=False,
            comment="digests of answers already taken",
        ),
        _text("account", "acct_…, once connected"),
        _text("problem", "why it failed, in a sentence"),
        sa.Column("begun_by", postgresql.JSONB(), nullable=False, comment="the principal who began it"),
        _text("idempotency_key", "of the request that began it"),
        _time("expires_at"),
        _time("created_at", now=True),
        _time("finished_at", null=True),
        sa.CheckConstraint(f"state in ({states})", name=op.f("ck_account_connections_state")),
        _of_tenant("account_connections"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_connections")),
        sa.UniqueConstraint("public_id", name=op.f("uq_account_connections_public_id")),
        sa.UniqueConstraint(
            "tenant_id", "idempotency_key", name=op.f("uq_account_connections_tenant_id_idempotency_key")
        ),
        comment="existing accounts that are asked to connect by OAuth; no token is kept",
    )


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _extend()
    _create_readiness()
    _create_changes()
    _create_connections()
    for statement in _security():
        op.execute(statement)
    for table in READERS:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(ASSESS)
    for table in READERS:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for table in reversed(TABLES):
        op.drop_table(table)
    op.alter_column("tenants", "stripe_account", comment="acct_…; null while Stripe is being asked")
    op.drop_constraint(op.f("ck_tenants_account_api"), "tenants")
    op.drop_column("tenants", "account_api")
    op.drop_column("connected_accounts", "future_requirements")

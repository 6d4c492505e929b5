"""Webhook endpoints at Stripe, failed signature checks, what operators did with events, and retention

Revision: 0002, after 0001. 2026-11-22 16:15:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _grants() -> Iterator[str]:
    yield from row_security.grant(
        "webhook_endpoints, webhook_failures", "SELECT, INSERT, UPDATE, DELETE", [Duty.PLATFORM]
    )
    # The worker deletes what retention has no more use for.
    yield from row_security.grant("inbox", "DELETE", [Duty.WORKER])


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Text(), nullable=False, comment="we_…"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("api_version", sa.Text(), nullable=False, comment="Stripe never changes it"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind in ('platform', 'connect')", name=op.f("ck_webhook_endpoints_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
        comment="the endpoints that Colonnade made at Stripe; their secrets are nowhere here",
    )
    op.create_table(
        "webhook_failures",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False, comment="of the last one"),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("endpoint", "cause", name=op.f("pk_webhook_failures")),
        comment="failed signature checks, one row for each cause: bounded, whoever calls",
    )
    op.add_column(
        "inbox",
        sa.Column(
            "actions",
            postgresql.JSONB(),
            server_default="[]",
            nullable=False,
            comment="what operators did with it: {action, at, by}",
        ),
    )
    op.create_index("ix_inbox_held", "inbox", ["id"], postgresql_where=sa.text("state in ('quarantined', 'dead')"))
    op.create_index(
        "ix_inbox_settled", "inbox", ["received_at"], postgresql_where=sa.text("state in ('done', 'ignored')")
    )
    op.create_index("ix_entitlement_changes_cause", "entitlement_changes", ["tenant_id", "cause"])
    for statement in _grants():
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute(f"REVOKE DELETE ON inbox FROM {Duty.WORKER}")
    op.drop_index("ix_entitlement_changes_cause", "entitlement_changes")
    op.drop_index("ix_inbox_settled", "inbox")
    op.drop_index("ix_inbox_held", "inbox")
    op.drop_column("inbox", "actions")
    op.drop_table("webhook_failures")
    op.drop_table("webhook_endpoints")

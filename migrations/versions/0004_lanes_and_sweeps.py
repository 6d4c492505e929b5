"""Turns in the queue, the traceback of a failure, and how far each account's events are known to be complete

Revision: 0004, after 0003. 2026-11-22 16:12:00.000000
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _security() -> Iterator[str]:
    yield from row_security.protect("sweeps")
    yield from row_security.across_tenants("sweeps", "ALL", Duty.PLATFORM)
    yield from row_security.across_tenants("sweeps", "ALL", Duty.WORKER)
    yield from row_security.grant("sweeps", "SELECT, INSERT, UPDATE, DELETE", [Duty.PLATFORM])
    yield from row_security.grant("sweeps", "SELECT, INSERT, UPDATE", [Duty.WORKER])
    yield from row_security.grant("sweeps", "SELECT", [Duty.APP])


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.add_column(
        "tenants",
        sa.Column(
            "event_weight",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="events handled per turn, against 1 of others",
        ),
    )
    op.create_check_constraint(op.f("ck_tenants_event_weight"), "tenants", "event_weight between 1 and 100")
    op.add_column(
        "inbox",
        sa.Column(
            "lane",
            sa.Text(),
            server_default="-",
            nullable=False,
            comment='whose turn it is handled in: the account that it names, or "-"',
        ),
    )
    op.add_column(
        "inbox",
        sa.Column(
            "swept", sa.Boolean(), server_default="false", nullable=False, comment="found by a sweep, never delivered"
        ),
    )
    op.add_column("inbox", sa.Column("error", sa.Text(), nullable=True, comment="traceback of the last failure"))
    op.create_index(
        "ix_inbox_lane",
        "inbox",
        ["lane", "not_before", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "sweeps",
        sa.Column("account", sa.Text(), nullable=False, comment="acct_…; empty: the platform's own"),
        sa.Column("tenant_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "swept_until", sa.DateTime(timezone=True), nullable=False, comment="Stripe's time; the next sweep's start"
        ),
        sa.Column(
            "complete_until", sa.DateTime(timezone=True), nullable=False, comment="nothing is missing up to this time"
        ),
        sa.Column("found", sa.BigInteger(), server_default="0", nullable=False, comment="events never delivered"),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True, comment="why the last sweep did not finish"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_sweeps_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_sweeps")),
    )
    op.create_index(op.f("ix_sweeps_tenant_id"), "sweeps", ["tenant_id"], unique=False)
    for statement in _security():
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.drop_table("sweeps")
    op.drop_index("ix_inbox_lane", "inbox")
    for column in ("error", "swept", "lane"):
        op.drop_column("inbox", column)
    op.drop_constraint(op.f("ck_tenants_event_weight"), "tenants")
    op.drop_column("tenants", "event_weight")

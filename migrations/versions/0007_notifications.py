"""What tenants are told: notifications, endpoints, deliveries and their attempts

Revision: 0007, after 0005. 2026-11-22 17:50:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None

TENANT_TABLES = ("notifications", "notification_counters", "notification_deliveries", "notification_attempts")
UNFINISHED = sa.text("state in ('pending', 'sending')")


def _security() -> Iterator[str]:
    for table in TENANT_TABLES:
        yield from row_security.partition(table)
    for table in ("notification_endpoints", "notification_wakes"):
        yield from row_security.protect(table)
        yield from row_security.across_tenants(table, "ALL", Duty.PLATFORM)
        yield from row_security.across_tenants(table, "ALL", Duty.WORKER)
        yield from row_security.grant(table, "SELECT, INSERT, UPDATE, DELETE", [Duty.PLATFORM])
    yield from row_security.grant("notification_endpoints", "SELECT, INSERT, UPDATE, DELETE", [Duty.APP])
    yield from row_security.grant("notification_endpoints", "SELECT, UPDATE", [Duty.WORKER])
    yield from row_security.grant("notification_wakes", "INSERT", [Duty.APP])
    yield from row_security.grant("notification_wakes", "SELECT, INSERT, UPDATE, DELETE", [Duty.WORKER])


def _timestamp(name: str, comment: str | None = None) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True, comment=comment)


def _now(name: str, comment: str | None = None) -> sa.Column[object]:
    now = sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=False, comment=comment)


def _create_tenant_tables() -> None:
    op.create_table(
        "notifications",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False, comment="ntf_…"),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "subject", sa.BigInteger(), nullable=False, comment="the customer's internal id; 0: the tenant itself"
        ),
        sa.Column(
            "endpoint",
            sa.BigInteger(),
            nullable=True,
            comment="the only endpoint that it is for; null: all, and the stream",
        ),
        sa.Column(
            "payload", sa.Text(), nullable=False, comment="what is delivered, as it was when the change was committed"
        ),
        sa.Column(
            "position",
            sa.BigInteger(),
            nullable=True,
            comment="its place in the tenant's stream; null: not published yet",
        ),
        _now("created_at"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_notifications")),
        sa.UniqueConstraint("tenant_id", "public_id", name=op.f("uq_notifications_tenant_id_public_id")),
        sa.UniqueConstraint("tenant_id", "position", name=op.f("uq_notifications_tenant_id_position")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        "ix_notifications_unpublished",
        "notifications",
        ["tenant_id", "id"],
        postgresql_where=sa.text("position is null"),
    )
    op.create_table(
        "notification_counters",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False, comment="as in notifications; -1: places in the stream"),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="the last one given"),
        sa.PrimaryKeyConstraint("tenant_id", "subject", name=op.f("pk_notification_counters")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_table(
        "notification_deliveries",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("endpoint", sa.BigInteger(), nullable=False),
        sa.Column("notification", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.BigInteger(), nullable=False, comment="deliveries of one subject keep their order"),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        _now("due_at", "sending: taken back then"),
        _timestamp("finished_at"),
        sa.CheckConstraint(
            "state in ('pending', 'sending', 'delivered', 'failed')", name=op.f("ck_notification_deliveries_state")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "notification"],
            ["notifications.tenant_id", "notifications.id"],
            name=op.f("fk_notification_deliveries_tenant_id_notification_notifications"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "endpoint", "notification", name=op.f("pk_notification_deliveries")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    _index_deliveries()
    op.create_table(
        "notification_attempts",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("endpoint", sa.BigInteger(), nullable=False),
        sa.Column("notification", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "milliseconds",
            sa.Integer(),
            nullable=False,
            comment="from the first look-up of the name to the last byte read",
        ),
        sa.Column("status", sa.Integer(), nullable=True, comment="of the reply; null: none came"),
        sa.Column("error", sa.Text(), nullable=True, comment="why it failed"),
        sa.Column("excerpt", sa.Text(), nullable=True, comment="the beginning of the reply"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "notification"],
            ["notifications.tenant_id", "notifications.id"],
            name=op.f("fk_notification_attempts_tenant_id_notification_notifications"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_notification_attempts")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        "ix_notification_attempts_delivery", "notification_attempts", ["tenant_id", "notification", "endpoint"]
    )


def _index_deliveries() -> None:
    table = "notification_deliveries"
    op.create_index(f"ix_{table}_due", table, ["tenant_id", "endpoint", "due_at"], postgresql_where=UNFINISHED)
    order = ["tenant_id", "endpoint", "subject", "position"]
    op.create_index(f"ix_{table}_order", table, order, postgresql_where=UNFINISHED)
    for columns in (["tenant_id", "notification"], ["tenant_id", "endpoint", "position"]):
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, columns)


def _create_platform_tables() -> None:
    op.create_table(
        "notification_endpoints",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False, comment="nep_…"),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("types", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False, comment="empty: all"),
        sa.Column("secrets", postgresql.JSONB(), nullable=False, comment="newest first: {ciphertext, expires_at}"),
        sa.Column("state", sa.Text(), server_default="enabled", nullable=False),
        sa.Column(
            "disabled_reason",
            sa.Text(),
            nullable=True,
            comment="why deliveries were given up; null: the tenant asked for it",
        ),
        sa.Column(
            "failures", sa.Integer(), server_default="0", nullable=False, comment="tries since the last that succeeded"
        ),
        _timestamp("failing_since"),
        _timestamp("paused_until", "it keeps failing, and is left alone until then"),
        _timestamp("due_at", "something may be due from then on; null: nothing waits"),
        sa.Column("idempotency_key", sa.Text(), nullable=True, comment="of the request that created it"),
        _now("created_at"),
        _now("updated_at"),
        sa.CheckConstraint("state in ('enabled', 'disabled')", name=op.f("ck_notification_endpoints_state")),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_notification_endpoints_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_endpoints")),
        sa.UniqueConstraint("public_id", name=op.f("uq_notification_endpoints_public_id")),
        sa.UniqueConstraint(
            "tenant_id", "idempotency_key", name=op.f("uq_notification_endpoints_tenant_id_idempotency_key")
        ),
    )
    op.create_index(
        "ix_notification_endpoints_due",
        "notification_endpoints",
        ["due_at"],
        postgresql_where=sa.text("state = 'enabled'"),
    )
    op.create_table(
        "notification_wakes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification_wakes")),
        comment="one row for each transaction that left notifications to publish",
    )
    op.create_index(op.f("ix_notification_wakes_tenant_id"), "notification_wakes", ["tenant_id"])


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _create_tenant_tables()
    _create_platform_tables()
    for statement in _security():
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for table in ("notification_wakes", "notification_endpoints", *reversed(TENANT_TABLES)):
        op.drop_table(table)

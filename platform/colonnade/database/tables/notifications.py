"""Where tenants have their notifications sent, and the signal that there are some."""

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Column, Index, Integer, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB

from colonnade.database.tables.columns import id_column, metadata, tenant_column
from colonnade_tenants.columns import Timestamp, now_column

notification_endpoints = Table(
    "notification_endpoints",
    metadata,
    id_column(),
    Column("public_id", Text, nullable=False, unique=True, comment="nep_…"),
    tenant_column(nullable=False),
    Column("url", Text, nullable=False),
    Column("description", Text),
    Column("types", ARRAY(Text), nullable=False, server_default="{}", comment="empty: all"),
    Column("secrets", JSONB, nullable=False, comment="newest first: {ciphertext, expires_at}"),
    Column("state", Text, nullable=False, server_default="enabled"),
    Column("disabled_reason", Text, comment="why deliveries were given up; null: the tenant asked for it"),
    Column("failures", Integer, nullable=False, server_default="0", comment="tries since the last that succeeded"),
    Column("failing_since", Timestamp),
    Column("paused_until", Timestamp, comment="it keeps failing, and is left alone until then"),
    Column("due_at", Timestamp, comment="something may be due from then on; null: nothing waits"),
    Column("idempotency_key", Text, comment="of the request that created it"),
    now_column("created_at"),
    now_column("updated_at"),
    CheckConstraint("state in ('enabled', 'disabled')", name="state"),
    UniqueConstraint("tenant_id", "idempotency_key"),
    Index("ix_notification_endpoints_due", "due_at", postgresql_where=text("state = 'enabled'")),
)

notification_wakes = Table(
    "notification_wakes",
    metadata,
    id_column(),
    Column("tenant_id", BigInteger, nullable=False),
    now_column("created_at"),
    Index(None, "tenant_id"),
    comment="one row for each transaction that left notifications to publish",
)

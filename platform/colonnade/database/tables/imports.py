"""Imports of what tenants had at Stripe before."""

from sqlalchemy import CheckConstraint, Column, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from colonnade.database.tables.columns import id_column, metadata, tenant_column
from colonnade_tenants.columns import Timestamp, now_column

imports = Table(
    "imports",
    metadata,
    id_column(),
    Column("public_id", Text, nullable=False, unique=True, comment="imp_…"),
    tenant_column(nullable=False),
    Column("reference_key", Text, comment="the customers' metadata key that has their references; null: none has"),
    Column("state", Text, nullable=False, server_default="running"),
    Column("step", Text, nullable=False, comment="what is listed: customers, subscriptions"),
    Column("position", Text, comment="the last object of the pages that are done; null: none is"),
    Column("counts", JSONB, nullable=False, server_default="{}"),
    Column("findings", JSONB, nullable=False, server_default="[]", comment="the first: {object, reason}"),
    Column("problem", Text, comment="why it stopped; while running it is tried again"),
    now_column("created_at"),
    Column("finished_at", Timestamp),
    CheckConstraint("state in ('running', 'done', 'failed')", name="state"),
    CheckConstraint("step in ('customers', 'subscriptions')", name="step"),
    Index("uq_imports_running", "tenant_id", unique=True, postgresql_where=text("state = 'running'")),
    Index(None, "tenant_id", "public_id"),
)

"""What tenants sell, and changes of it on their way."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, Table, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB

from colonnade.database.tables.columns import id_column, metadata, tenant_column
from colonnade_tenants.columns import Timestamp, now_column

plan_objects = Table(
    "plan_objects",
    metadata,
    Column("id", Text, primary_key=True, comment="price_… or prod_…, on the platform's own account"),
    tenant_column(primary_key=True, autoincrement=False),
    Index(None, "tenant_id"),
    comment="what tenants' plans sell, for events of prices and products: they name no tenant",
)

recomputations = Table(
    "recomputations",
    metadata,
    id_column(),
    Column("public_id", Text, nullable=False, unique=True, comment="rec_…"),
    tenant_column(nullable=False),
    Column("cause", Text, nullable=False, comment="plan:KEY@VERSION, policy@VERSION, feature:KEY@VERSION"),
    Column("scope", JSONB, nullable=False, comment="whose entitlements it changes"),
    Column("position", BigInteger, nullable=False, comment="the last customer done, by internal id"),
    Column("total", BigInteger, nullable=False, comment="customers, as counted at the start"),
    Column("done", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default="running"),
    Column("failures", Integer, nullable=False, server_default="0", comment="tries since the last batch that was done"),
    Column("problem", Text, comment="why the last batch failed"),
    Column("not_before", Timestamp, nullable=False, server_default=func.now()),
    now_column("created_at"),
    Column("finished_at", Timestamp),
    CheckConstraint("state in ('running', 'done')", name="state"),
    Index("ix_recomputations_running", "not_before", postgresql_where=text("state = 'running'")),
    Index(None, "tenant_id", "id"),
    comment="changes of plans and policies on their way through the customers they reach",
)

entitlement_clocks = Table(
    "entitlement_clocks",
    metadata,
    tenant_column(primary_key=True, autoincrement=False),
    Column(
        "noted_until", Timestamp, nullable=False, comment="ends and starts by the clock are in the history up to it"
    ),
    Index(None, "noted_until"),
)

"""The inbox, and what is known of Stripe's objects, deliveries and lists of events."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from colonnade.database.tables.columns import id_column, metadata, tenant_column
from colonnade_tenants.columns import Timestamp, now_column

stripe_objects = Table(
    "stripe_objects",
    metadata,
    Column("id", Text, primary_key=True, comment="cus_…, sub_…, bpc_…"),
    tenant_column(nullable=False),
    now_column("created_at"),
    Index(None, "tenant_id", "id"),
    comment="which tenant a Stripe object belongs to, for events that do not say so themselves",
)

inbox = Table(
    "inbox",
    metadata,
    id_column(),
    Column("event_id", Text, nullable=False, unique=True),
    Column("endpoint", Text, nullable=False),
    Column("account", Text),
    Column("type", Text, nullable=False),
    Column("object_id", Text, nullable=False, comment="the queue's key: work on one object is serial"),
    Column("created", Timestamp, nullable=False),
    Column("api_version", Text),
    Column("livemode", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="the exact bytes that were signed"),
    now_column("received_at"),
    Column("state", Text, nullable=False, server_default="pending"),
    tenant_column(),
    Column("rung", Text, comment="what named the tenant"),
    Column("evidence", JSONB, comment="everything in it that names a tenant: [{rung, key, tenant}]"),
    Column("reason", Text, comment="why it is ignored, quarantined or dead"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before", Timestamp, nullable=False, server_default=func.now()),
    Column("done_at", Timestamp),
    Column(
        "actions",
        JSONB,
        nullable=False,
        server_default="[]",
        comment="what operators did with it: {action, at, by}",
    ),
    Column(
        "lane",
        Text,
        nullable=False,
        server_default="-",
        comment='whose turn it is handled in: the account that it names, or "-"',
    ),
    Column("swept", Boolean, nullable=False, server_default="false", comment="found by a sweep, never delivered"),
    Column("error", Text, comment="traceback of the last failure"),
    CheckConstraint("endpoint in ('platform', 'connect')", name="endpoint"),
    CheckConstraint("state in ('pending', 'done', 'ignored', 'quarantined', 'dead', 'held')", name="state"),
    Index("ix_inbox_pending", "id", postgresql_where=text("state = 'pending'")),
    Index("ix_inbox_pending_object", "object_id", "id", postgresql_where=text("state = 'pending'")),
    Index("ix_inbox_lane", "lane", "not_before", "id", postgresql_where=text("state = 'pending'")),
    Index("ix_inbox_tenant", "tenant_id", "id"),
    Index("ix_inbox_held", "id", postgresql_where=text("state in ('quarantined', 'dead')")),
    Index(
        "ix_inbox_tenant_waiting",
        *("tenant_id", "state", "not_before"),
        postgresql_where=text("state in ('pending', 'held') and tenant_id is not null"),
    ),
    Index("ix_inbox_settled", "received_at", postgresql_where=text("state in ('done', 'ignored')")),
)

platform_account = Table(
    "platform_account",
    metadata,
    Column("single", Boolean, primary_key=True, server_default="true", comment="there is one row"),
    Column("account", Text, nullable=False, comment="acct_…"),
    Column("livemode", Boolean, nullable=False),
    now_column("created_at"),
    CheckConstraint("single", name="single"),
    comment="the platform's own account at Stripe, as the first call found it",
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Text, primary_key=True, comment="we_…"),
    Column("kind", Text, nullable=False),
    Column("api_version", Text, nullable=False, comment="Stripe never changes it"),
    Column("secret_digest", LargeBinary, comment="SHA-256; null: made before it was kept"),
    now_column("created_at"),
    CheckConstraint("kind in ('platform', 'connect')", name="kind"),
    comment="the endpoints that Colonnade made at Stripe; of their secrets only digests are here",
)

webhook_failures = Table(
    "webhook_failures",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("cause", Text, primary_key=True),
    Column("detail", Text, nullable=False, comment="of the last one"),
    Column("count", BigInteger, nullable=False),
    now_column("first_at"),
    now_column("last_at"),
    comment="failed signature checks, one row for each cause: bounded, whoever calls",
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("account", Text, primary_key=True, comment="acct_…; empty: the platform's own"),
    tenant_column(),
    Column("swept_until", Timestamp, nullable=False, comment="Stripe's time; the next sweep's start"),
    Column("complete_until", Timestamp, nullable=False, comment="nothing is missing up to this time"),
    Column("found", BigInteger, nullable=False, server_default="0", comment="events never delivered"),
    Column("finished_at", Timestamp),
    Column("problem", Text, comment="why the last sweep did not finish"),
    Index(None, "tenant_id"),
)

extension_calls = Table(
    "extension_calls",
    metadata,
    id_column(),
    Column("inbox_id", BigInteger, ForeignKey("inbox.id", ondelete="CASCADE"), nullable=False),
    tenant_column(nullable=False),
    Column("extension", Text, nullable=False, comment="its entry point: package.module:function"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, comment="what it raised last"),
    Column("not_before", Timestamp, nullable=False),
    Column("done_at", Timestamp),
    CheckConstraint("state in ('pending', 'done', 'dead')", name="state"),
    UniqueConstraint("inbox_id", "extension"),
    Index("ix_extension_calls_pending", "not_before", postgresql_where=text("state = 'pending'")),
    Index(None, "tenant_id"),
    comment="calls of operators' own handlers that failed at first",
)

"""Portal configurations, their versions and rules, and branding."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from colonnade.database.tables.columns import id_column, metadata, tenant_column
from colonnade_tenants.columns import Timestamp, now_column

branding = Table(
    "branding",
    metadata,
    tenant_column(primary_key=True, autoincrement=False),
    Column("settings", JSONB, nullable=False, comment="what the tenant asked for"),
    Column("version", BigInteger, nullable=False, server_default="1", comment="of what the tenant asked for"),
    Column("state", Text, nullable=False, comment="pending, applied, or refused by Stripe"),
    Column("problem", Text, comment="why Stripe refused it, or why it is pending"),
    Column("refused", ARRAY(Text), nullable=False, server_default="{}", comment="the parts that Stripe refused"),
    Column("dashboard", Text, comment="which dashboard the account's owner has, where Stripe refused"),
    Column(
        "failures", Integer, nullable=False, server_default="0", comment="tries in a row that Stripe did not answer"
    ),
    Column("try_at", Timestamp, comment="when a worker asks Stripe again; null: not pending"),
    Column("claimed_until", Timestamp, comment="a process is asking Stripe, and has until then"),
    now_column("updated_at"),
    CheckConstraint("state in ('pending', 'applied', 'refused')", name="state"),
    CheckConstraint("(state = 'pending') = (try_at is not null)", name="try_at"),
    Index("ix_branding_try_at", "try_at", postgresql_where=text("try_at is not null")),
)

branding_images = Table(
    "branding_images",
    metadata,
    tenant_column(primary_key=True, autoincrement=False),
    Column("kind", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False, comment="a PNG that was made here"),
    Column("digest", LargeBinary, nullable=False, comment="its SHA-256"),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("stripe_file", Text, comment="file_…, once the account has it"),
    now_column("updated_at"),
    CheckConstraint("kind in ('icon', 'logo')", name="kind"),
)

portal_configurations = Table(
    "portal_configurations",
    metadata,
    id_column(),
    tenant_column(nullable=False),
    Column("name", Text, nullable=False),
    Column("is_default", Boolean, nullable=False, server_default="false"),
    Column("settings", JSONB, nullable=False, comment="desired state, in canonical form"),
    Column("content_hash", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Column("stripe_configuration", Text, unique=True, comment="bpc_…; null until Stripe has it"),
    Column("applied_version", Integer, comment="the version that Stripe has"),
    now_column("created_at"),
    now_column("updated_at"),
    Column("active", Boolean, nullable=False, server_default="true", comment="false: no session may use it"),
    Column("problem", Text, comment="why Stripe does not take this version; null: nothing is known"),
    Column("drift", JSONB, comment="what was found to differ at Stripe, last; null: nothing was"),
    UniqueConstraint("tenant_id", "name"),
    Index("uq_portal_configurations_default", "tenant_id", unique=True, postgresql_where=text("is_default")),
)

portal_configuration_versions = Table(
    "portal_configuration_versions",
    metadata,
    tenant_column(primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("settings", JSONB, nullable=False, comment="as the tenant wrote them, in canonical form"),
    Column("active", Boolean, nullable=False),
    Column("content", JSONB, comment="the settings with what they refer to; null: made before versions were kept"),
    Column("content_hash", LargeBinary, nullable=False),
    Column("change", Text, nullable=False, comment="what made it: put, rollback, adopt, …"),
    Column("author", Text, comment="key_… of the API key, cli:NAME; null: Colonnade itself"),
    now_column("created_at"),
)

portal_work = Table(
    "portal_work",
    metadata,
    tenant_column(primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True, comment="of the configuration, which may be about to be made"),
    Column("objects", ARRAY(Text), nullable=False, server_default="{}", comment="bpc_…, and what it offers"),
    Column("due_at", Timestamp, comment="when the worker looks at it; null: never"),
    Column("event", Text, comment="evt_… that says to look; null: time does"),
    Column("event_at", Timestamp, comment="its `created`"),
    Column(
        "failures", Integer, nullable=False, server_default="0", comment="looks in vain since the last that was not"
    ),
    Column("creating", Integer, comment="the version whose creation Stripe was asked for, and did not answer"),
    Column("lease", Text, comment="who is writing it"),
    Column("lease_until", Timestamp),
    Index(None, "due_at"),
    Index("ix_portal_work_objects", "objects", postgresql_using="gin"),
    comment="who writes a portal configuration now, and when the worker looks at it",
)

portal_policies = Table(
    "portal_policies",
    metadata,
    tenant_column(primary_key=True, autoincrement=False),
    Column("drift", Text, nullable=False, comment="what is done about an edit at Stripe: report, revert"),
    Column("author", Text, comment="key_… of the API key, cli:NAME"),
    now_column("updated_at"),
    CheckConstraint("drift in ('report', 'revert')", name="drift"),
)

portal_rules = Table(
    "portal_rules",
    metadata,
    tenant_column(primary_key=True, autoincrement=False),
    Column("rules", JSONB, nullable=False, comment="the first that fits chooses: [{configuration, …}]"),
    now_column("updated_at"),
)

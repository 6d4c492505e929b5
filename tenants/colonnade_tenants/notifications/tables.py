"""The tables of what a tenant is told: each notification, whom it goes to, and every try to deliver it."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    func,
    text,
)

from colonnade_tenants.partition import tenant_table

_Timestamp = DateTime(timezone=True)
_UNFINISHED = text("state in ('pending', 'sending')")

notifications = tenant_table(
    "notifications",
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("public_id", Text, nullable=False, comment="ntf_…"),
    Column("type", Text, nullable=False),
    Column("subject", BigInteger, nullable=False, comment="the customer's internal id; 0: the tenant itself"),
    Column("endpoint", BigInteger, comment="the only endpoint that it is for; null: all, and the stream"),
    Column("payload", Text, nullable=False, comment="what is delivered, as it was when the change was committed"),
    Column("position", BigInteger, comment="its place in the tenant's stream; null: not published yet"),
    Column("created_at", _Timestamp, nullable=False, server_default=func.now()),
    UniqueConstraint("tenant_id", "public_id"),
    Index(
        "uq_notifications_tenant_id_position",
        *("tenant_id", "position"),
        unique=True,
        postgresql_where=text("position is not null"),
    ),
    Index("ix_notifications_unpublished", "tenant_id", "id", postgresql_where=text("position is null")),
    key=["id"],
)

notification_counters = tenant_table(
    "notification_counters",
    Column("subject", BigInteger, nullable=False, comment="as in notifications; -1: places in the stream"),
    Column("number", BigInteger, nullable=False, comment="the last one given"),
    key=["subject"],
)

notification_deliveries = tenant_table(
    "notification_deliveries",
    Column("endpoint", BigInteger, nullable=False),
    Column("notification", BigInteger, nullable=False),
    Column("subject", BigInteger, nullable=False, comment="deliveries of one subject keep their order"),
    Column("position", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", _Timestamp, nullable=False, server_default=func.now(), comment="sending: taken back then"),
    Column("finished_at", _Timestamp),
    ForeignKeyConstraint(
        ["tenant_id", "notification"], ["notifications.tenant_id", "notifications.id"], ondelete="CASCADE"
    ),
    CheckConstraint("state in ('pending', 'sending', 'delivered', 'failed')", name="state"),
    Index("ix_notification_deliveries_due", "tenant_id", "endpoint", "due_at", postgresql_where=_UNFINISHED),
    Index(
        "ix_notification_deliveries_order",
        "tenant_id",
        "endpoint",
        "subject",
        "position",
        postgresql_where=_UNFINISHED,
    ),
    Index(None, "tenant_id", "notification"),
    Index(None, "tenant_id", "endpoint", "position"),
    key=["endpoint", "notification"],
)

notification_attempts = tenant_table(
    "notification_attempts",
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("endpoint", BigInteger, nullable=False),
    Column("notification", BigInteger, nullable=False),
    Column("at", _Timestamp, nullable=False),
    Column("milliseconds", Integer, nullable=False, comment="from the first look-up of the name to the last byte read"),
    Column("status", Integer, comment="of the reply; null: none came"),
    Column("error", Text, comment="why it failed"),
    Column("excerpt", Text, comment="the beginning of the reply"),
    ForeignKeyConstraint(
        ["tenant_id", "notification"], ["notifications.tenant_id", "notifications.id"], ondelete="CASCADE"
    ),
    Index("ix_notification_attempts_delivery", "tenant_id", "notification", "endpoint"),
    key=["id"],
)

"""Tenants, what became of them, and their connected accounts."""

from sqlalchemy import (
    ARRAY,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from colonnade.database.tables.columns import id_column, metadata, of_tenant, tenant_column
from colonnade_tenants.columns import Timestamp, now_column

tenants = Table(
    "tenants",
    metadata,
    id_column(),
    Column("public_id", Text, nullable=False, unique=True, comment="ten_…"),
    Column("name", Text, nullable=False),
    Column("charge_type", Text, nullable=False),
    Column("stripe_account", Text, unique=True, comment="acct_…; null until it is made, adopted or connected"),
    Column("account_api", Text, nullable=False, server_default="v1", comment="Stripe's, that made the account"),
    Column("application_fee_percent", Numeric(5, 2)),
    Column("return_origins", ARRAY(Text), nullable=False, server_default="{}"),
    Column("idempotency_key", Text, unique=True, comment="of the request that created it"),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of that request's body"),
    Column(
        "event_weight",
        Integer,
        nullable=False,
        server_default="1",
        comment="events handled per turn, against 1 of others",
    ),
    now_column("created_at"),
    now_column("updated_at"),
    Column("state", Text, nullable=False, server_default="invited", comment="derived by a trigger from what follows"),
    now_column("state_since"),
    Column("state_by", Text, comment="key_…, evt_…, colonnade"),
    Column("state_reason", Text, comment="in the platform team's words"),
    Column("live_at", Timestamp, comment="when the account was first able to take payments"),
    Column("suspended_at", Timestamp),
    Column("disconnected_at", Timestamp),
    Column("archived_at", Timestamp),
    Column("removal", Text, comment="deleting, deleted"),
    Column(
        "coming_back",
        Boolean,
        nullable=False,
        server_default="false",
        comment="held events are being applied; entitlements are computed once, at the end",
    ),
    Column(
        "closed_checks",
        Text,
        nullable=False,
        server_default="keep",
        comment="what checks say while it is closed: keep, deny",
    ),
    Column("reached_as", Text, comment="acct_…/test or /live: the platform that could read the account"),
    CheckConstraint("charge_type in ('direct', 'destination', 'separate')", name="charge_type"),
    CheckConstraint("event_weight between 1 and 100", name="event_weight"),
    CheckConstraint("account_api in ('v1', 'v2')", name="account_api"),
    CheckConstraint(
        "state in ('invited', 'onboarding', 'live', 'suspended', 'disconnected', 'archived', 'deleting', 'deleted')",
        name="state",
    ),
    CheckConstraint("removal in ('deleting', 'deleted')", name="removal"),
    CheckConstraint("closed_checks in ('keep', 'deny')", name="closed_checks"),
    Index("ix_tenants_unfinished", "id", postgresql_where=text("coming_back or removal = 'deleting'")),
)

tenant_states = Table(
    "tenant_states",
    metadata,
    id_column(),
    of_tenant(),
    Column("previous", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("by", Text, comment="key_…, evt_…, colonnade"),
    Column("reason", Text),
    now_column("at"),
    Index(None, "tenant_id", "id"),
    comment="each tenant's states, one after the other",
)

former_accounts = Table(
    "former_accounts",
    metadata,
    Column("account", Text, primary_key=True, comment="acct_…"),
    of_tenant(),
    now_column("left_at"),
    Index(None, "tenant_id"),
    comment="accounts that tenants had before the one they have: their events are nobody's any more",
)

removed_objects = Table(
    "removed_objects",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of the Stripe object's id"),
    of_tenant(),
    now_column("removed_at"),
    Index(None, "tenant_id"),
    comment="tombstones: events that name one of these are reduced to a stub",
)

tenant_readiness = Table(
    "tenant_readiness",
    metadata,
    tenant_column(primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, comment="why, in a sentence; null: nothing is wrong"),
    Column("waits_for", ARRAY(Text), nullable=False, server_default="{}", comment="business, representative, …"),
    Column("deadline", Timestamp, comment="the earliest of what is due"),
    Column("since", Timestamp, nullable=False, comment="when the state came about"),
    CheckConstraint(
        "state in ('onboarding', 'ready', 'restricted_soon', 'restricted', 'rejected', 'disconnected')", name="state"
    ),
    Index(None, "state", "tenant_id"),
    comment="one word per tenant, for the platform team's worklist; what it is made from is in connected_accounts",
)

_UNTOLD = "told_at is null and tell_at < 'infinity'"
"""At infinity it is not told any more."""

readiness_changes = Table(
    "readiness_changes",
    metadata,
    id_column(),
    tenant_column(nullable=False),
    Column("public_id", Text, nullable=False, unique=True, comment="rdy_…"),
    Column("account", Text, nullable=False, comment="acct_…"),
    Column("previous", Text, comment="null: the first that is known"),
    Column("state", Text, nullable=False),
    Column("reason", Text, comment="why, in a sentence; null: nothing is wrong"),
    Column("cause", Text, nullable=False, comment="evt_… of the event; `read`: it was found by reading the account"),
    Column("at", Timestamp, nullable=False, comment="Stripe's time of the cause"),
    now_column("recorded_at"),
    Column("told_at", Timestamp, comment="when the platform team's endpoint took it; null: not yet, or not wanted"),
    now_column("tell_at"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Index(None, "tenant_id", "public_id"),
    Index("ix_readiness_changes_untold", "tenant_id", "id", postgresql_where=text(_UNTOLD)),
    comment="append-only",
)

account_connections = Table(
    "account_connections",
    metadata,
    id_column(),
    tenant_column(nullable=False),
    Column("public_id", Text, nullable=False, unique=True, comment="con_…"),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("return_url", Text, comment="null: our own page says how it went"),
    Column("used", ARRAY(LargeBinary), nullable=False, server_default="{}", comment="digests of answers already taken"),
    Column("account", Text, comment="acct_…, once connected"),
    Column("problem", Text, comment="why it failed, in a sentence"),
    Column("begun_by", JSONB, nullable=False, comment="the principal who began it"),
    Column("idempotency_key", Text, comment="of the request that began it"),
    Column("expires_at", Timestamp, nullable=False),
    now_column("created_at"),
    Column("finished_at", Timestamp),
    CheckConstraint("state in ('pending', 'connected', 'denied', 'failed')", name="state"),
    UniqueConstraint("tenant_id", "idempotency_key"),
    comment="existing accounts that are asked to connect by OAuth; no token is kept",
)

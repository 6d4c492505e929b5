"""The platform tables: one each, unpartitioned; row-level security on every one that tells tenants apart."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from colonnade_tenants.columns import Timestamp, now_column
from colonnade_tenants.partition import NAMING

metadata = MetaData(naming_convention=NAMING)


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _tenant(**options: object) -> Column[int]:
    return Column("tenant_id", BigInteger, ForeignKey("tenants.id"), **options)  # type: ignore[arg-type]


tenants = Table(
    "tenants",
    metadata,
    _id(),
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


def _of_tenant() -> Column[int]:
    """Whose it is, and gone with it: a tenant that was never made, and those of tests."""
    return Column("tenant_id", BigInteger, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False)


tenant_states = Table(
    "tenant_states",
    metadata,
    _id(),
    _of_tenant(),
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
    _of_tenant(),
    now_column("left_at"),
    Index(None, "tenant_id"),
    comment="accounts that tenants had before the one they have: their events are nobody's any more",
)

removed_objects = Table(
    "removed_objects",
    metadata,
    Column("digest", LargeBinary, primary_key=True, comment="SHA-256 of the Stripe object's id"),
    _of_tenant(),
    now_column("removed_at"),
    Index(None, "tenant_id"),
    comment="tombstones: events that name one of these are reduced to a stub",
)

tenant_readiness = Table(
    "tenant_readiness",
    metadata,
    _tenant(primary_key=True, autoincrement=False),
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

readiness_changes = Table(
    "readiness_changes",
    metadata,
    _id(),
    _tenant(nullable=False),
    Column("public_id", Text, nullable=False, unique=True, comment="rdy_…"),
    Column("account", Text, nullable=False, comment="acct_…"),
    Column("previous", Text, comment="null: the first that is known"),
    Column("state", Text, nullable=False),
    Column("reason", Text, comment="why, in a sentence; null: nothing is wrong"),
    Column("cause", Text, nullable=False, comment="evt_… of the event; `read`: it was found by reading the account"),
    Column("at", Timestamp, nullable=False, comment="Stripe's time of the cause"),
    now_column("recorded_at"),
    Index(None, "tenant_id", "public_id"),
    comment="append-only",
)

account_connections = Table(
    "account_connections",
    metadata,
    _id(),
    _tenant(nullable=False),
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

branding = Table(
    "branding",
    metadata,
    _tenant(primary_key=True, autoincrement=False),
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
    _tenant(primary_key=True, autoincrement=False),
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
    _id(),
    _tenant(nullable=False),
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
    _tenant(primary_key=True, autoincrement=False),
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
    _tenant(primary_key=True, autoincrement=False),
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
    _tenant(primary_key=True, autoincrement=False),
    Column("drift", Text, nullable=False, comment="what is done about an edit at Stripe: report, revert"),
    Column("author", Text, comment="key_… of the API key, cli:NAME"),
    now_column("updated_at"),
    CheckConstraint("drift in ('report', 'revert')", name="drift"),
)

portal_rules = Table(
    "portal_rules",
    metadata,
    _tenant(primary_key=True, autoincrement=False),
    Column("rules", JSONB, nullable=False, comment="the first that fits chooses: [{configuration, …}]"),
    now_column("updated_at"),
)

stripe_objects = Table(
    "stripe_objects",
    metadata,
    Column("id", Text, primary_key=True, comment="cus_…, sub_…, bpc_…"),
    _tenant(nullable=False),
    now_column("created_at"),
    Index(None, "tenant_id", "id"),
    comment="which tenant a Stripe object belongs to, for events that do not say so themselves",
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    Column("public_id", Text, nullable=False, unique=True, comment="key_…"),
    _tenant(comment="null: a key of the platform team"),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True, comment="SHA-256 of the whole key"),
    Column(
        "scopes",
        ARRAY(Text),
        nullable=False,
        server_default="{admin}",
        comment="what it may do; of the platform team, its role",
    ),
    Column("prefix", Text, comment="its first letters, to be shown"),
    now_column("created_at"),
    Column("expires_at", Timestamp),
    Column("revoked_at", Timestamp),
    Column("last_used_at", Timestamp, comment="to the minute"),
    CheckConstraint(
        "case when tenant_id is null then scopes in ('{admin}', '{support}', '{read}') "
        "else scopes <@ '{read,check,customers,portals,catalogue,admin}' and cardinality(scopes) > 0 end",
        name="scopes",
    ),
    Index(None, "tenant_id"),
)

inbox = Table(
    "inbox",
    metadata,
    _id(),
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
    _tenant(),
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

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Text, primary_key=True, comment="we_…"),
    Column("kind", Text, nullable=False),
    Column("api_version", Text, nullable=False, comment="Stripe never changes it"),
    now_column("created_at"),
    CheckConstraint("kind in ('platform', 'connect')", name="kind"),
    comment="the endpoints that Colonnade made at Stripe; their secrets are nowhere here",
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
    _tenant(),
    Column("swept_until", Timestamp, nullable=False, comment="Stripe's time; the next sweep's start"),
    Column("complete_until", Timestamp, nullable=False, comment="nothing is missing up to this time"),
    Column("found", BigInteger, nullable=False, server_default="0", comment="events never delivered"),
    Column("finished_at", Timestamp),
    Column("problem", Text, comment="why the last sweep did not finish"),
    Index(None, "tenant_id"),
)

plan_objects = Table(
    "plan_objects",
    metadata,
    Column("id", Text, primary_key=True, comment="price_… or prod_…, on the platform's own account"),
    _tenant(primary_key=True, autoincrement=False),
    Index(None, "tenant_id"),
    comment="what tenants' plans sell, for events of prices and products: they name no tenant",
)

recomputations = Table(
    "recomputations",
    metadata,
    _id(),
    Column("public_id", Text, nullable=False, unique=True, comment="rec_…"),
    _tenant(nullable=False),
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
    _tenant(primary_key=True, autoincrement=False),
    Column(
        "noted_until", Timestamp, nullable=False, comment="ends and starts by the clock are in the history up to it"
    ),
    Index(None, "noted_until"),
)

extension_calls = Table(
    "extension_calls",
    metadata,
    _id(),
    Column("inbox_id", BigInteger, ForeignKey("inbox.id", ondelete="CASCADE"), nullable=False),
    _tenant(nullable=False),
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

notification_endpoints = Table(
    "notification_endpoints",
    metadata,
    _id(),
    Column("public_id", Text, nullable=False, unique=True, comment="nep_…"),
    _tenant(nullable=False),
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
    _id(),
    Column("tenant_id", BigInteger, nullable=False),
    now_column("created_at"),
    Index(None, "tenant_id"),
    comment="one row for each transaction that left notifications to publish",
)

signing_keys = Table(
    "signing_keys",
    metadata,
    _id(),
    Column("public_id", Text, nullable=False, unique=True, comment="sgk_…: the `kid` of tokens"),
    _tenant(nullable=False),
    Column("private_key", Text, nullable=False, comment="PKCS #8 in PEM, encrypted"),
    Column("public_key", JSONB, nullable=False, comment="as a JSON Web Key"),
    Column("signs_from", Timestamp, nullable=False, comment="until a later key's"),
    Column("published_until", Timestamp, comment="null: no later key is there"),
    now_column("created_at"),
    Index(None, "tenant_id"),
)

imports = Table(
    "imports",
    metadata,
    _id(),
    Column("public_id", Text, nullable=False, unique=True, comment="imp_…"),
    _tenant(nullable=False),
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

audit_log = Table(
    "audit_log",
    metadata,
    _id(),
    Column("public_id", Text, nullable=False, unique=True, comment="aud_…"),
    Column(
        "tenant_id", BigInteger, comment="whom it is about; null: nobody alone. No reference: the log outlives tenants"
    ),
    now_column("at"),
    Column("by_kind", Text, nullable=False),
    Column("by_id", Text, nullable=False, comment="key_…, a person, or what of the program it was"),
    Column("action", Text, nullable=False, comment="a thing and what became of it: tenant.suspended"),
    Column("target", Text, nullable=False, comment="the thing's path below /v1/"),
    Column("before", JSONB, comment="named fields alone, so that no secret gets here"),
    Column("after", JSONB),
    Column("request_id", Text, comment="req_…"),
    CheckConstraint("by_kind in ('platform_key', 'tenant_key', 'person', 'system')", name="by_kind"),
    Index(None, "tenant_id", "id"),
    Index(None, "by_id", "id"),
    Index(None, "request_id"),
)

"""The tenant tables. Each lies in 16 hash partitions, behind row-level security (see `partition`)."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

import colonnade_tenants.billing.tables
import colonnade_tenants.notifications.tables
import colonnade_tenants.portal.tables  # noqa: F401 - so that `metadata` has those tables too
from colonnade_tenants.columns import Timestamp, in_bounds, now_column
from colonnade_tenants.partition import metadata, tenant_table

__all__ = ["metadata"]


def _before() -> Column[bytes]:
    return Column("source_before", LargeBinary, comment="digest of what was so before; empty: nothing; null: not known")


connected_accounts = tenant_table(
    "connected_accounts",
    Column("stripe_account", Text, nullable=False),
    Column("charges_enabled", Boolean, nullable=False, server_default="false"),
    Column("payouts_enabled", Boolean, nullable=False, server_default="false"),
    Column("details_submitted", Boolean, nullable=False, server_default="false"),
    Column("capabilities", JSONB, nullable=False, server_default="{}"),
    Column("requirements", JSONB, nullable=False, server_default="{}"),
    Column("future_requirements", JSONB, nullable=False, server_default="{}"),
    Column("disconnected_at", Timestamp, comment="`created` of the event that took our access away; null: we have it"),
    Column("authorized_at", Timestamp, comment="`created` of the newest event that gave us access"),
    Column("source_created", Timestamp, nullable=False, comment="`created` of the newest event applied"),
    Column("source_event", Text, comment="null: a read"),
    _before(),
    key=["stripe_account"],
)

customers = tenant_table(
    "customers",
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("public_id", Text, nullable=False),
    Column("reference", Text, comment="the tenant's own id; null for one that Stripe told of first"),
    Column("stripe_customer", Text, comment="null while the row is reserved and Stripe has not answered"),
    Column("name", Text),
    Column("email", Text, comment="for billing; never an identity"),
    Column("metadata", JSONB, nullable=False, server_default="{}"),
    now_column("created_at"),
    now_column("updated_at"),
    UniqueConstraint("tenant_id", "public_id"),
    UniqueConstraint("tenant_id", "reference"),
    UniqueConstraint("tenant_id", "stripe_customer"),
    key=["id"],
)

features = tenant_table(
    "features",
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("unit", Text),
    Column("description", Text),
    Column("combine", Text, nullable=False, server_default="max", comment="what several grants give: or, max, sum"),
    Column("fallback", BigInteger, nullable=False, server_default="0", comment="the value where nothing grants any"),
    Column("version", Integer, nullable=False, server_default="1"),
    now_column("created_at"),
    now_column("updated_at"),
    CheckConstraint("kind in ('flag', 'limit', 'quantity')", name="kind"),
    CheckConstraint("combine in ('or', 'max', 'sum')", name="combine"),
    key=["key"],
)

feature_versions = tenant_table(
    "feature_versions",
    Column("feature", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("effective_from", Timestamp, comment="null: from the beginning"),
    Column("kind", Text, nullable=False),
    Column("combine", Text, nullable=False),
    Column("fallback", BigInteger, nullable=False),
    Column("author", Text, comment="key_… of the API key"),
    now_column("recorded_at"),
    in_bounds("effective_from"),
    key=["feature", "version"],
)
"""What a feature meant when; a version is never changed, and outlives its feature."""

plans = tenant_table(
    "plans",
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("price", Text, comment="price_…; a price wins over its product"),
    Column("product", Text, comment="prod_…"),
    Column("version", Integer, nullable=False, server_default="1"),
    now_column("created_at"),
    now_column("updated_at"),
    CheckConstraint("num_nonnulls(price, product) = 1", name="price_or_product"),
    UniqueConstraint("tenant_id", "price"),
    UniqueConstraint("tenant_id", "product"),
    key=["key"],
)

plan_grants = tenant_table(
    "plan_grants",
    Column("plan", Text, nullable=False),
    Column("feature", Text, nullable=False),
    Column("value", BigInteger, comment="null: no limit; 1 for a flag"),
    Column("per_unit", Boolean, nullable=False, server_default="false", comment="times the item's quantity"),
    ForeignKeyConstraint(["tenant_id", "plan"], ["plans.tenant_id", "plans.key"], ondelete="CASCADE"),
    ForeignKeyConstraint(["tenant_id", "feature"], ["features.tenant_id", "features.key"]),
    key=["plan", "feature"],
)

plan_versions = tenant_table(
    "plan_versions",
    Column("plan", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("effective_from", Timestamp, comment="null: from the beginning"),
    Column("price", Text),
    Column("product", Text, comment="null, as the price: deleted"),
    Column("grants", JSONB, nullable=False, comment="[{feature, kind, value, per_unit}]"),
    Column("author", Text, comment="key_… of the API key"),
    now_column("recorded_at"),
    in_bounds("effective_from"),
    CheckConstraint("num_nonnulls(price, product) <= 1", name="price_or_product"),
    Index(None, "tenant_id", "price"),
    Index(None, "tenant_id", "product"),
    key=["plan", "version"],
)
"""What a plan granted when; a version is never changed, and outlives its plan. Entitlements are computed from these."""

entitlement_policies = tenant_table(
    "entitlement_policies",
    Column("version", Integer, nullable=False),
    Column("effective_from", Timestamp, nullable=False),
    Column("grace_days", Integer, comment="of grace while past_due; null: until Stripe gives up"),
    Column("trials", Boolean, nullable=False, comment="whether trialing grants"),
    Column("pause_collection", Text, nullable=False, comment="what it does to access: grants, suspends"),
    Column("author", Text, comment="key_… of the API key"),
    now_column("recorded_at"),
    in_bounds("effective_from"),
    CheckConstraint("grace_days between 0 and 365", name="grace_days"),
    CheckConstraint("pause_collection in ('grants', 'suspends')", name="pause_collection"),
    key=["version"],
)
"""What the tenant took Stripe's statuses to mean when; before the first version, `Policy()` holds."""

subscriptions = tenant_table(
    "subscriptions",
    Column("id", Text, nullable=False, comment="sub_…"),
    Column("customer_id", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("started_at", Timestamp, nullable=False, comment="Stripe's start_date"),
    Column("cancel_at", Timestamp),
    Column("cancel_at_period_end", Boolean, nullable=False, server_default="false"),
    Column("canceled_at", Timestamp),
    Column("ended_at", Timestamp),
    Column("trial_end", Timestamp),
    Column("pause_behavior", Text, comment="of pause_collection; null: collection is not paused"),
    Column("pause_resumes_at", Timestamp),
    Column("past_due_since", Timestamp, comment="`created` of the event that brought past_due"),
    Column(
        "past_due_exact",
        Boolean,
        nullable=False,
        server_default="false",
        comment="false: that event is still missing, and this is the earliest that said past_due",
    ),
    Column("schedule", Text),
    Column("on_behalf_of", Text),
    Column("source_created", Timestamp, nullable=False, comment="`created` of the newest event applied"),
    Column("source_event", Text, nullable=False),
    _before(),
    Column("discounts", ARRAY(Text), comment="di_…, sorted; null: from before they were kept"),
    ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
    Index(None, "tenant_id", "customer_id"),
    key=["id"],
)

subscription_items = tenant_table(
    "subscription_items",
    Column("subscription", Text, nullable=False),
    Column("id", Text, nullable=False, comment="si_…"),
    Column("price", Text, nullable=False),
    Column("product", Text, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("current_period_start", Timestamp, nullable=False),
    Column("current_period_end", Timestamp, nullable=False),
    ForeignKeyConstraint(
        ["tenant_id", "subscription"], ["subscriptions.tenant_id", "subscriptions.id"], ondelete="CASCADE"
    ),
    Index(None, "tenant_id", "price"),
    Index(None, "tenant_id", "product"),
    key=["subscription", "id"],
)

entitlements = tenant_table(
    "entitlements",
    Column("customer_id", BigInteger, nullable=False),
    Column("feature", Text, nullable=False),
    Column("valid_from", Timestamp, nullable=False),
    Column("valid_until", Timestamp, comment="exclusive; null: no end known"),
    Column("kind", Text, nullable=False),
    Column("value", BigInteger, comment="null: no limit; 1 for a flag"),
    Column("sources", ARRAY(Text), nullable=False, comment="the subscription items (si_…) that grant it"),
    ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
    CheckConstraint("valid_until > valid_from", name="interval"),
    Index("ix_entitlements_valid_until", "tenant_id", "valid_until", postgresql_where=text("valid_until is not null")),
    key=["customer_id", "feature", "valid_from"],
)

entitlement_overrides = tenant_table(
    "entitlement_overrides",
    Column("id", Text, nullable=False, comment="ovr_…"),
    Column("customer_id", BigInteger, nullable=False),
    Column("feature", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="the feature's"),
    Column("effect", Text, nullable=False),
    Column("value", BigInteger, comment="null: no limit; 1 for a flag, 0 for a denial"),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False, comment="who decided it, in the tenant's words"),
    Column("author_key", Text, comment="key_… of the API key"),
    Column("starts_at", Timestamp, nullable=False, server_default=func.clock_timestamp()),
    Column("ends_at", Timestamp, comment="exclusive; null: no end was set"),
    Column("revoked_at", Timestamp),
    Column("revoked_by", Text),
    Column("idempotency_key", Text),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of the request"),
    ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
    in_bounds("ends_at"),
    CheckConstraint("effect in ('grant', 'set', 'deny')", name="effect"),
    UniqueConstraint("tenant_id", "idempotency_key"),
    Index(None, "tenant_id", "customer_id"),
    Index(None, "tenant_id", "feature"),
    key=["id"],
)
"""What was decided for one customer by hand. One that is revoked stays, with its end."""

entitlement_changes = tenant_table(
    "entitlement_changes",
    Column("customer_id", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False, comment="counts up by one per customer"),
    Column("feature", Text, nullable=False),
    Column("before", JSONB, comment="the feature's rows before; null: none"),
    Column("after", JSONB, comment="the feature's rows after; null: none"),
    Column(
        "cause", Text, nullable=False, comment="evt_…, override:ovr_…, plan:KEY@VERSION, policy@VERSION, clock, import"
    ),
    Column("reasons", JSONB, comment="why the rows after are as they are; null: not noted"),
    Column("recorded_at", Timestamp, nullable=False, server_default=func.clock_timestamp(), comment="when believed"),
    ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
    Index("ix_entitlement_changes_cause", "tenant_id", "cause"),
    key=["customer_id", "sequence"],
)

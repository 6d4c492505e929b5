"""The table of visits."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from colonnade_tenants.columns import Timestamp, now_column
from colonnade_tenants.partition import tenant_table

portal_visits = tenant_table(
    "portal_visits",
    Column("id", Text, nullable=False, comment="pvi_…"),
    Column("customer_id", BigInteger, nullable=False),
    Column("configuration", Text, nullable=False, comment="its name"),
    Column("chosen_by", Text, nullable=False),
    Column("rule", JSONB, comment="the rule that chose the configuration"),
    Column("flow", Text, comment="null: the portal's home page"),
    Column("subscription", Text, comment="sub_…, of the flow"),
    Column("left_out", Text, comment="why the flow that was asked for was left out; null: it was not"),
    Column("locale", Text),
    Column("opened_by", Text, nullable=False, comment="key_… of the API key, or `browser`"),
    Column("origin", Text, comment="of the page whose form opened it; null: a backend did"),
    Column("token", Text, comment="ptk_…: the portal token, which opens one visit"),
    Column("browser", LargeBinary, comment="digest of what tells the browser from others"),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of the request"),
    Column("session", Text, comment="bps_…; null until Stripe has made it. Its URL is a secret, and not here"),
    Column("return_url", Text, nullable=False, comment="the tenant's page that the customer goes back to"),
    Column("done_url", Text, comment="the same once the flow is done; null: `return_url`"),
    Column(
        "before",
        JSONB,
        comment="what was known of the customer when it began; null: from before it was kept from the start",
    ),
    now_column("created_at"),
    Column("completed_at", Timestamp, comment="when the flow's own redirect came back"),
    Column("returned_at", Timestamp, comment="when the customer came back first"),
    Column("reread_at", Timestamp, comment="when Stripe was asked, because its events were late"),
    Column("reread_events", ARRAY(Text), comment="the inbox's rows of what Stripe answered"),
    Column("settled_at", Timestamp),
    Column("outcome", JSONB, comment="what the visit changed: {result, changes}; null until that is known"),
    ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.id"]),
    CheckConstraint("chosen_by in ('name', 'rule', 'default')", name="chosen_by"),
    # Most visits have none, and are then in no index for it.
    Index(None, "tenant_id", "token", unique=True, postgresql_where=text("token IS NOT NULL")),
    Index(None, "tenant_id", "customer_id", "created_at"),
    key=["id"],
)
"""Each portal session, and what came of it."""

"""Visits of the portal, and the rules that choose its configuration

Revision: 0012, after 0011. 2026-11-22 21:30:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _security() -> Iterator[str]:
    yield from row_security.partition("portal_visits")
    yield from row_security.protect("portal_rules")
    yield from row_security.across_tenants("portal_rules", "ALL", Duty.PLATFORM)
    yield from row_security.grant("portal_rules", "SELECT, INSERT, UPDATE, DELETE", [Duty.PLATFORM, Duty.APP])


def _time(name: str, comment: str | None = None, *, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=not now, comment=comment)


def _text(name: str, comment: str | None = None, *, nullable: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable, comment=comment)


def _create_portal_rules() -> None:
    op.create_table(
        "portal_rules",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "rules", postgresql.JSONB(), nullable=False, comment="the first that fits chooses: [{configuration, …}]"
        ),
        _time("updated_at", now=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_portal_rules_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_portal_rules")),
    )


def _create_portal_visits() -> None:
    json = postgresql.JSONB()
    op.create_table(
        "portal_visits",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        _text("id", "pvi_…", nullable=False),
        sa.Column("customer_id", sa.BigInteger(), nullable=False),
        _text("configuration", "its name", nullable=False),
        _text("chosen_by", nullable=False),
        sa.Column("rule", json, comment="the rule that chose the configuration"),
        _text("flow", "null: the portal's home page"),
        _text("subscription", "sub_…, of the flow"),
        _text("left_out", "why the flow that was asked for was left out; null: it was not"),
        _text("locale"),
        _text("opened_by", "key_… of the API key, or `browser`", nullable=False),
        _text("origin", "of the page whose form opened it; null: a backend did"),
        _text("token", "ptk_…: the portal token, which opens one visit"),
        sa.Column("browser", sa.LargeBinary(), comment="digest of what tells the browser from others"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="SHA-256 of the request"),
        _text("session", "bps_…; null until Stripe has made it. Its URL is a secret, and not here"),
        _text("return_url", "the tenant's page that the customer goes back to", nullable=False),
        _text("done_url", "the same once the flow is done; null: `return_url`"),
        sa.Column(
            "before", json, comment="what was known of the customer when it began; null until there is a session"
        ),
        _time("created_at", now=True),
        _time("completed_at", "when the flow's own redirect came back"),
        _time("returned_at", "when the customer came back first"),
        _time("reread_at", "when Stripe was asked, because its events were late"),
        sa.Column("reread_events", postgresql.ARRAY(sa.Text()), comment="the inbox's rows of what Stripe answered"),
        _time("settled_at"),
        sa.Column("outcome", json, comment="what the visit changed: {result, changes}; null until that is known"),
        sa.CheckConstraint("chosen_by in ('name', 'rule', 'default')", name=op.f("ck_portal_visits_chosen_by")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.id"],
            name=op.f("fk_portal_visits_tenant_id_customer_id_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_portal_visits")),
        sa.UniqueConstraint("tenant_id", "token", name=op.f("uq_portal_visits_tenant_id_token")),
        postgresql_partition_by="HASH (tenant_id)",
    )
    op.create_index(
        op.f("ix_portal_visits_tenant_id_customer_id_created_at"),
        "portal_visits",
        ["tenant_id", "customer_id", "created_at"],
    )


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _create_portal_rules()
    _create_portal_visits()
    for statement in _security():
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for table in ("portal_visits", "portal_rules"):
        op.drop_table(table)

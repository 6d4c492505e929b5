"""Portal configurations in versions, who writes them now, what differs at Stripe, and what is done about it

Revision: 0010, after 0009. 2026-11-22 21:30:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = ("portal_configuration_versions", "portal_work", "portal_policies")
KEEP_VERSIONS = """
insert into portal_configuration_versions
    (tenant_id, name, version, settings, active, content_hash, change, created_at)
select tenant_id, name, version, settings, true, content_hash, 'put', updated_at from portal_configurations
"""
# The worker looks at each soon: what a version is made of was not kept until now.
LOOK = """
insert into portal_work (tenant_id, name, objects, due_at)
select c.tenant_id, c.name,
    array_remove(array[case t.charge_type when 'direct' then t.stripe_account || '/' else '' end
        || c.stripe_configuration], null),
    now()
from portal_configurations c join tenants t on t.id = c.tenant_id
"""


def _security() -> Iterator[str]:
    for table in TABLES:
        yield from row_security.protect(table)
        yield from row_security.across_tenants(table, "ALL", Duty.PLATFORM)
        yield from row_security.grant(table, "SELECT, INSERT, UPDATE, DELETE", [Duty.PLATFORM])
    yield from row_security.grant("portal_configuration_versions", "SELECT, INSERT, DELETE", [Duty.APP])
    yield from row_security.grant("portal_work, portal_policies", "SELECT, INSERT, UPDATE, DELETE", [Duty.APP])
    yield from row_security.across_tenants("portal_work", "ALL", Duty.WORKER)
    yield from row_security.grant("portal_work", "SELECT, UPDATE", [Duty.WORKER])


def _time(name: str, *, nullable: bool = True, comment: str | None = None) -> sa.Column[object]:
    default = None if nullable else sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable, comment=comment)


def _tenant(table: str) -> tuple[sa.Column[object], sa.ForeignKeyConstraint]:
    key = sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f(f"fk_{table}_tenant_id_tenants"))
    return sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False), key


def _extend_configurations() -> None:
    active = sa.Column(
        "active", sa.Boolean(), server_default="true", nullable=False, comment="false: no session may use it"
    )
    op.add_column("portal_configurations", active)
    problem = sa.Column("problem", sa.Text(), comment="why Stripe does not take this version; null: nothing is known")
    op.add_column("portal_configurations", problem)
    drift = sa.Column(
        "drift", postgresql.JSONB(), comment="what was found to differ at Stripe, last; null: nothing was"
    )
    op.add_column("portal_configurations", drift)


def _create_versions() -> None:
    table = "portal_configuration_versions"
    op.create_table(
        table,
        *_tenant(table),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "settings", postgresql.JSONB(), nullable=False, comment="as the tenant wrote them, in canonical form"
        ),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column(
            "content",
            postgresql.JSONB(),
            comment="the settings with what they refer to; null: made before versions were kept",
        ),
        sa.Column("content_hash", sa.LargeBinary(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False, comment="what made it: put, rollback, adopt, …"),
        sa.Column("author", sa.Text(), comment="key_… of the API key, cli:NAME; null: Colonnade itself"),
        _time("created_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "name", "version", name=op.f(f"pk_{table}")),
    )


def _create_work() -> None:
    op.create_table(
        "portal_work",
        *_tenant("portal_work"),
        sa.Column("name", sa.Text(), nullable=False, comment="of the configuration, which may be about to be made"),
        sa.Column(
            "objects",
            postgresql.ARRAY(sa.Text()),
            server_default="{}",
            nullable=False,
            comment="bpc_…, and what it offers",
        ),
        _time("due_at", comment="when the worker looks at it; null: never"),
        sa.Column("event", sa.Text(), comment="evt_… that says to look; null: time does"),
        _time("event_at", comment="its `created`"),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="looks in vain since the last that was not",
        ),
        sa.Column(
            "creating", sa.Integer(), comment="the version whose creation Stripe was asked for, and did not answer"
        ),
        sa.Column("lease", sa.Text(), comment="who is writing it"),
        _time("lease_until"),
        sa.PrimaryKeyConstraint("tenant_id", "name", name=op.f("pk_portal_work")),
        comment="who writes a portal configuration now, and when the worker looks at it",
    )
    op.create_index(op.f("ix_portal_work_due_at"), "portal_work", ["due_at"])
    op.create_index("ix_portal_work_objects", "portal_work", ["objects"], postgresql_using="gin")


def _create_policies() -> None:
    op.create_table(
        "portal_policies",
        *_tenant("portal_policies"),
        sa.Column("drift", sa.Text(), nullable=False, comment="what is done about an edit at Stripe: report, revert"),
        sa.Column("author", sa.Text(), comment="key_… of the API key, cli:NAME"),
        _time("updated_at", nullable=False),
        sa.CheckConstraint("drift in ('report', 'revert')", name=op.f("ck_portal_policies_drift")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_portal_policies")),
    )


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _extend_configurations()
    _create_versions()
    _create_work()
    _create_policies()
    op.execute("ALTER TABLE portal_configurations NO FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE tenants NO FORCE ROW LEVEL SECURITY")
    op.execute(KEEP_VERSIONS)
    op.execute(LOOK)
    op.execute("ALTER TABLE portal_configurations FORCE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE tenants FORCE ROW LEVEL SECURITY")
    for statement in _security():
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for table in reversed(TABLES):
        op.drop_table(table)
    for column in ("drift", "problem", "active"):
        op.drop_column("portal_configurations", column)

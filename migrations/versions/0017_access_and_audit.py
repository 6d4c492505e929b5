"""The audit log

Revision: 0017, after 0012. 2026-11-23 00:10:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0017"
down_revision = "0012"
branch_labels = None
depends_on = None

# No role of the service is granted more than to add and to read; the triggers stop the owner and a superuser too.
REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$
"""
TRIGGERS = {
    "audit_log_keeps_rows": "BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW",
    "audit_log_keeps_all": "BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT",
}


def _audit_log() -> Iterator[str]:
    yield from row_security.protect("audit_log")
    yield from row_security.across_tenants("audit_log", "ALL", Duty.PLATFORM)
    yield from row_security.grant("audit_log", "SELECT, INSERT", [Duty.PLATFORM, Duty.APP, Duty.WORKER])
    yield REFUSE
    for name, when in TRIGGERS.items():
        yield f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION refuse_change()"


def _text(name: str, comment: str | None = None, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable, comment=comment)


def _create_audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _text("public_id", "aud_…"),
        sa.Column(
            "tenant_id",
            sa.BigInteger(),
            comment="whom it is about; null: nobody alone. No reference: the log outlives tenants",
        ),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        _text("by_kind"),
        _text("by_id", "key_…, a person, or what of the program it was"),
        _text("action", "a thing and what became of it: tenant.suspended"),
        _text("target", "the thing's path below /v1/"),
        sa.Column("before", postgresql.JSONB(), comment="named fields alone, so that no secret gets here"),
        sa.Column("after", postgresql.JSONB()),
        _text("request_id", "req_…", nullable=True),
        sa.CheckConstraint(
            "by_kind in ('platform_key', 'tenant_key', 'person', 'system')", name=op.f("ck_audit_log_by_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("public_id", name=op.f("uq_audit_log_public_id")),
    )
    for columns in (["tenant_id", "id"], ["by_id", "id"], ["request_id"]):
        op.create_index(op.f(f"ix_audit_log_{'_'.join(columns)}"), "audit_log", columns)


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _create_audit_log()
    for statement in _audit_log():
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION refuse_change()")

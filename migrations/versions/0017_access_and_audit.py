"""The audit log; scopes, roles, expiry and last use of keys

Revision: 0017, after 0013. 2026-11-23 00:10:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0017"
down_revision = "0013"
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


SCOPES = (
    "case when tenant_id is null then scopes in ('{admin}', '{support}', '{read}') "
    "else scopes <@ '{read,check,customers,portals,catalogue,admin}' and cardinality(scopes) > 0 end"
)
SCOPES_BEFORE = "scopes <@ '{admin,check}' and cardinality(scopes) > 0"
SCOPES_COMMENT = "what it may do; of the platform team, its role"
SCOPES_COMMENT_BEFORE = "what it may do: admin, everything; check, ask for entitlements"
# That a key was used is no news: announced, it would make every process forget all keys it knows.
ANNOUNCE = """
CREATE TRIGGER announce_key AFTER DELETE OR UPDATE OF revoked_at, expires_at, scopes, digest, tenant_id
ON api_keys FOR EACH ROW EXECUTE FUNCTION announce_key()
"""
ANNOUNCE_BEFORE = """
CREATE TRIGGER announce_key AFTER DELETE OR UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION announce_key()
"""


def _update_keys(change: str) -> None:
    # The owner is confined to a tenant's rows as well, and here there is none.
    op.execute("ALTER TABLE api_keys NO FORCE ROW LEVEL SECURITY")
    op.execute(f"UPDATE api_keys SET {change}")  # noqa: S608 - our own words
    op.execute("ALTER TABLE api_keys FORCE ROW LEVEL SECURITY")


def _change_scopes(check: str, comment: str, announce: str) -> None:
    op.create_check_constraint(op.f("ck_api_keys_scopes"), "api_keys", check)
    op.alter_column("api_keys", "scopes", comment=comment)
    op.execute("DROP TRIGGER announce_key ON api_keys")
    op.execute(announce)


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
    op.add_column("api_keys", _text("prefix", "its first letters, to be shown", nullable=True))
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True)))
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), comment="to the minute"))
    op.drop_constraint(op.f("ck_api_keys_scopes"), "api_keys")
    # A key of the platform team has been for everything, but for one that may only check: it has no role.
    _update_keys(
        "revoked_at = CASE WHEN 'admin' = ANY (scopes) THEN revoked_at ELSE coalesce(revoked_at, now()) END, "
        "scopes = '{admin}' WHERE tenant_id IS NULL"
    )
    _change_scopes(SCOPES, SCOPES_COMMENT, ANNOUNCE)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    # Before, a key could do everything or only check, for ever: no other may come back as more than it was.
    op.drop_constraint(op.f("ck_api_keys_scopes"), "api_keys")
    _update_keys(
        "revoked_at = coalesce(revoked_at, now()), scopes = '{check}' "
        "WHERE expires_at IS NOT NULL OR NOT scopes <@ '{admin,check}'"
    )
    _change_scopes(SCOPES_BEFORE, SCOPES_COMMENT_BEFORE, ANNOUNCE_BEFORE)
    for column in ("prefix", "expires_at", "last_used_at"):
        op.drop_column("api_keys", column)
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION refuse_change()")

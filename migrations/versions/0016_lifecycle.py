"""Tenants' states and their history, held events, and what is left of who was removed

Revision: 0016, after 0015. 2026-11-23 00:10:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

STATES = "'invited', 'onboarding', 'live', 'suspended', 'disconnected', 'archived', 'deleting', 'deleted'"

# No statement can make the state differ from the facts, or forget the history: triggers see to both.
DERIVE_STATE = """
CREATE FUNCTION derive_tenant_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.state := CASE
        WHEN NEW.removal IS NOT NULL THEN NEW.removal
        WHEN NEW.archived_at IS NOT NULL THEN 'archived'
        WHEN NEW.disconnected_at IS NOT NULL THEN 'disconnected'
        WHEN NEW.suspended_at IS NOT NULL THEN 'suspended'
        WHEN NEW.stripe_account IS NULL THEN 'invited'
        WHEN NEW.live_at IS NULL THEN 'onboarding'
        ELSE 'live'
    END;
    IF TG_OP = 'UPDATE' AND NEW.state = OLD.state THEN
        NEW.state_by := OLD.state_by;
        NEW.state_reason := OLD.state_reason;
    ELSIF TG_OP = 'UPDATE' THEN
        NEW.state_since := clock_timestamp();
        -- A state that was below another is there again for the reason that it had.
        NEW.state_reason := coalesce(NEW.state_reason, (
            SELECT reason FROM tenant_states WHERE tenant_id = NEW.id AND state = NEW.state ORDER BY id DESC LIMIT 1
        ));
    END IF;
    RETURN NEW;
END $$
"""
NOTE_STATE = """
CREATE FUNCTION note_tenant_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state <> OLD.state THEN
        INSERT INTO tenant_states (tenant_id, previous, state, by, reason, at)
        VALUES (NEW.id, OLD.state, NEW.state, NEW.state_by, NEW.state_reason, NEW.state_since);
    END IF;
    PERFORM pg_notify('colonnade_entitlements', NEW.id || ':*');
    RETURN NULL;
END $$
"""
TRIGGERS = (
    "CREATE TRIGGER derive_tenant_state BEFORE INSERT OR UPDATE ON tenants "
    "FOR EACH ROW EXECUTE FUNCTION derive_tenant_state()",
    "CREATE TRIGGER note_tenant_state AFTER UPDATE ON tenants FOR EACH ROW "
    "WHEN (OLD.state <> NEW.state OR OLD.closed_checks <> NEW.closed_checks) EXECUTE FUNCTION note_tenant_state()",
)

# As before, but for what `DENYING` adds: a tenant that is closed, and whose checks then deny.
CHECK_ENTITLEMENTS = """
CREATE OR REPLACE FUNCTION check_entitlements(tenant bigint, customer_references text[])
RETURNS TABLE (
    customer_id bigint, customer text,
    feature text, kind text, unit text,
    granted boolean, value bigint, valid_from timestamptz, valid_until timestamptz, sources text[],
    changes_at timestamptz, as_of timestamptz, complete_until timestamptz, on_platform boolean
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    asked text;
    whose bigint;
    next_change timestamptz;
    complete timestamptz;
    charge text;{declared}
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    SELECT s.complete_until, t.charge_type{read} INTO complete, charge{into}
    FROM tenants t LEFT JOIN sweeps s ON s.account = t.stripe_account WHERE t.id = tenant;
    FOREACH asked IN ARRAY customer_references LOOP
        SELECT c.id INTO whose FROM customers c WHERE c.tenant_id = tenant AND c.reference = asked;
        CONTINUE WHEN whose IS NULL;
        SELECT min(moment) INTO next_change
        FROM entitlements n, unnest(ARRAY[n.valid_from, n.valid_until]) moment
        WHERE n.tenant_id = tenant AND n.customer_id = whose AND moment > now();
        RETURN QUERY
        SELECT whose, asked, f.key, f.kind, f.unit,
            CASE {granted}WHEN e.feature IS NULL THEN coalesce(f.fallback > 0, false)
                ELSE e.value IS NULL OR e.value > 0 END,
            CASE {value}WHEN e.feature IS NULL THEN f.fallback ELSE e.value END,
            e.valid_from, e.valid_until, e.sources,
            next_change, now(), complete, charge IS DISTINCT FROM 'direct'
        FROM (SELECT) one
        LEFT JOIN features f ON f.tenant_id = tenant
        LEFT JOIN entitlements e ON e.tenant_id = tenant AND e.customer_id = whose AND e.feature = f.key
            AND e.valid_from <= now() AND (e.valid_until IS NULL OR e.valid_until > now()){rows}
        ORDER BY f.key;
    END LOOP;
END
$$
"""
DENYING = {
    "declared": "\n    denied boolean;",
    "read": ", t.state IN ('suspended', 'disconnected', 'archived', 'deleting', 'deleted') AND t.closed_checks = 'deny'",
    "into": ", denied",
    "granted": "WHEN denied THEN false ",
    "value": "WHEN denied THEN 0 ",
    "rows": " AND denied IS NOT TRUE",
}


def _time(name: str, comment: str | None = None, *, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=not now, comment=comment)


def _text(
    name: str, comment: str | None = None, *, default: str | None = None, nullable: bool = True
) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=nullable, comment=comment)


def _facts() -> tuple[sa.Column[object], ...]:
    return (
        _text("state", "derived by a trigger from what follows", default="invited", nullable=False),
        _time("state_since", now=True),
        _text("state_by", "key_…, evt_…, colonnade"),
        _text("state_reason", "in the platform team's words"),
        _time("live_at", "when the account was first able to take payments"),
        _time("suspended_at"),
        _time("disconnected_at"),
        _time("archived_at"),
        _text("removal", "deleting, deleted"),
        sa.Column(
            "coming_back",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="held events are being applied; entitlements are computed once, at the end",
        ),
        _text("closed_checks", "what checks say while it is closed: keep, deny", default="keep", nullable=False),
    )


def _change_tenants() -> None:
    for column in _facts():
        op.add_column("tenants", column)
    op.create_check_constraint(op.f("ck_tenants_state"), "tenants", f"state in ({STATES})")
    op.create_check_constraint(op.f("ck_tenants_removal"), "tenants", "removal in ('deleting', 'deleted')")
    op.create_check_constraint(op.f("ck_tenants_closed_checks"), "tenants", "closed_checks in ('keep', 'deny')")
    unfinished = sa.text("coming_back or removal = 'deleting'")
    op.create_index("ix_tenants_unfinished", "tenants", ["id"], postgresql_where=unfinished)


def _create_tables() -> None:
    op.create_table(
        "tenant_states",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        _tenant(),
        _text("previous", nullable=False),
        _text("state", nullable=False),
        _text("by", "key_…, evt_…, colonnade"),
        _text("reason"),
        _time("at", now=True),
        _of_tenant("tenant_states"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant_states")),
        comment="each tenant's states, one after the other",
    )
    op.create_index(op.f("ix_tenant_states_tenant_id_id"), "tenant_states", ["tenant_id", "id"])
    op.create_table(
        "former_accounts",
        _text("account", "acct_…", nullable=False),
        _tenant(),
        _time("left_at", now=True),
        _of_tenant("former_accounts"),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_former_accounts")),
        comment="accounts that tenants had before the one they have: their events are nobody's any more",
    )
    op.create_index(op.f("ix_former_accounts_tenant_id"), "former_accounts", ["tenant_id"])
    op.create_table(
        "removed_objects",
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="SHA-256 of the Stripe object's id"),
        _tenant(),
        _time("removed_at", now=True),
        _of_tenant("removed_objects"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_removed_objects")),
        comment="tombstones: events that name one of these are reduced to a stub",
    )
    op.create_index(op.f("ix_removed_objects_tenant_id"), "removed_objects", ["tenant_id"])


def _tenant() -> sa.Column[int]:
    return sa.Column("tenant_id", sa.BigInteger(), nullable=False)


def _of_tenant(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_tenant_id_tenants")
    return sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=name, ondelete="CASCADE")


def _change_inbox() -> None:
    op.drop_constraint(op.f("ck_inbox_state"), "inbox")
    states = "state in ('pending', 'done', 'ignored', 'quarantined', 'dead', 'held')"
    op.create_check_constraint(op.f("ck_inbox_state"), "inbox", states)
    waiting = sa.text("state in ('pending', 'held') and tenant_id is not null")
    op.create_index("ix_inbox_tenant_waiting", "inbox", ["tenant_id", "state", "not_before"], postgresql_where=waiting)
    op.drop_index(op.f("ix_stripe_objects_tenant_id"), "stripe_objects")
    op.create_index(op.f("ix_stripe_objects_tenant_id_id"), "stripe_objects", ["tenant_id", "id"])


def _security() -> Iterator[str]:
    every = "SELECT, INSERT, UPDATE, DELETE"
    for table in ("tenant_states", "former_accounts", "removed_objects"):
        yield from row_security.protect(table)
        yield from row_security.across_tenants(table, "ALL", Duty.PLATFORM)
        yield from row_security.grant(table, every, [Duty.PLATFORM])
    yield from row_security.grant("tenant_states", "SELECT, INSERT", [Duty.WORKER])
    for table in ("former_accounts", "removed_objects"):
        yield from row_security.across_tenants(table, "SELECT", Duty.WORKER)
        yield from row_security.grant(table, "SELECT", [Duty.WORKER])
    yield from row_security.grant("tenants", "UPDATE", [Duty.WORKER])


def _derive_the_states_of_those_there_are() -> None:
    """Who has disconnected is disconnected; whether an account was ever able to take payments was not noted."""
    tables = ("tenants", "connected_accounts")
    for table in tables:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "UPDATE tenants t SET live_at = CASE WHEN a.charges_enabled THEN now() END, disconnected_at = a.disconnected_at "
        "FROM connected_accounts a WHERE a.tenant_id = t.id AND a.stripe_account = t.stripe_account"
    )
    op.execute("UPDATE tenants SET state_since = now()")
    for table in tables:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _change_tenants()
    _create_tables()
    _change_inbox()
    for statement in _security():
        op.execute(statement)
    op.execute(DERIVE_STATE)
    op.execute(NOTE_STATE)
    op.execute(TRIGGERS[0])
    _derive_the_states_of_those_there_are()
    op.execute(TRIGGERS[1])
    op.execute(CHECK_ENTITLEMENTS.format(**DENYING))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute(CHECK_ENTITLEMENTS.format(**dict.fromkeys(DENYING, "")))
    for function in ("note_tenant_state", "derive_tenant_state"):
        op.execute(f"DROP TRIGGER {function} ON tenants")
        op.execute(f"DROP FUNCTION {function}()")
    op.execute(f"REVOKE UPDATE ON tenants FROM {Duty.WORKER}")
    op.drop_index(op.f("ix_stripe_objects_tenant_id_id"), "stripe_objects")
    op.create_index(op.f("ix_stripe_objects_tenant_id"), "stripe_objects", ["tenant_id"])
    op.drop_index("ix_inbox_tenant_waiting", "inbox")
    op.drop_constraint(op.f("ck_inbox_state"), "inbox")
    op.execute("ALTER TABLE inbox NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE inbox SET state = 'quarantined' WHERE state = 'held'")
    op.execute("ALTER TABLE inbox FORCE ROW LEVEL SECURITY")
    states = "state in ('pending', 'done', 'ignored', 'quarantined', 'dead')"
    op.create_check_constraint(op.f("ck_inbox_state"), "inbox", states)
    for table in ("removed_objects", "former_accounts", "tenant_states"):
        op.drop_table(table)
    op.drop_index("ix_tenants_unfinished", "tenants")
    for name in ("closed_checks", "removal", "state"):
        op.drop_constraint(op.f(f"ck_tenants_{name}"), "tenants")
    for column in reversed(_facts()):
        op.drop_column("tenants", column.name)

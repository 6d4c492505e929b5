"""Checks of many customers in one statement, keys that may only check, and word of what makes kept answers wrong

Revision: 0008, after 0007. 2026-11-22 18:50:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# One round trip: the tenant is set and its rows are read by one call, which is a transaction of its own. Each customer
# is read by itself: in one join over all, the planner counts the rows of all 16 partitions, and hashes whole ones.
CHECK_ENTITLEMENTS = """
CREATE FUNCTION check_entitlements(tenant bigint, customer_references text[])
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
    charge text;
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    SELECT s.complete_until, t.charge_type INTO complete, charge
    FROM tenants t LEFT JOIN sweeps s ON s.account = t.stripe_account WHERE t.id = tenant;
    FOREACH asked IN ARRAY customer_references LOOP
        SELECT c.id INTO whose FROM customers c WHERE c.tenant_id = tenant AND c.reference = asked;
        CONTINUE WHEN whose IS NULL;
        SELECT min(moment) INTO next_change
        FROM entitlements n, unnest(ARRAY[n.valid_from, n.valid_until]) moment
        WHERE n.tenant_id = tenant AND n.customer_id = whose AND moment > now();
        RETURN QUERY
        SELECT whose, asked, f.key, f.kind, f.unit,
            CASE WHEN e.feature IS NULL THEN coalesce(f.fallback > 0, false) ELSE e.value IS NULL OR e.value > 0 END,
            CASE WHEN e.feature IS NULL THEN f.fallback ELSE e.value END,
            e.valid_from, e.valid_until, e.sources,
            next_change, now(), complete, charge IS DISTINCT FROM 'direct'
        FROM (SELECT) one
        LEFT JOIN features f ON f.tenant_id = tenant
        LEFT JOIN entitlements e ON e.tenant_id = tenant AND e.customer_id = whose AND e.feature = f.key
            AND e.valid_from <= now() AND (e.valid_until IS NULL OR e.valid_until > now())
        ORDER BY f.key;
    END LOOP;
END
$$
"""
CHECK_ENTITLEMENTS_BEFORE = """
CREATE FUNCTION check_entitlements(tenant bigint, customer text)
RETURNS TABLE (
    feature text, kind text, unit text,
    granted boolean, value bigint, valid_from timestamptz, valid_until timestamptz, sources text[],
    as_of timestamptz
)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    RETURN QUERY
    SELECT f.key, f.kind, f.unit,
        CASE WHEN e.feature IS NULL THEN coalesce(f.fallback > 0, false) ELSE e.value IS NULL OR e.value > 0 END,
        CASE WHEN e.feature IS NULL THEN f.fallback ELSE e.value END,
        e.valid_from, e.valid_until, e.sources, now()
    FROM customers c
    LEFT JOIN features f ON f.tenant_id = tenant
    LEFT JOIN entitlements e ON e.tenant_id = tenant AND e.customer_id = c.id AND e.feature = f.key
        AND e.valid_from <= now() AND (e.valid_until IS NULL OR e.valid_until > now())
    WHERE c.tenant_id = tenant AND c.reference = customer
    ORDER BY f.key;
END
$$
"""

# Triggers, so that no statement can forget it: which customer a reference names, and what a key may do, change seldom.
ANNOUNCING = {
    "announce_customer": "PERFORM pg_notify('colonnade_entitlements', OLD.tenant_id || ':' || OLD.id)",
    "announce_key": "PERFORM pg_notify('colonnade_keys', '')",
}
TRIGGERS = {
    ("announce_customer", "customers"): "AFTER DELETE OR UPDATE OF reference",
    ("announce_key", "api_keys"): "AFTER DELETE OR UPDATE",
}


def _announce() -> Iterator[str]:
    for function, body in ANNOUNCING.items():
        yield f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$"
    for (function, table), when in TRIGGERS.items():
        yield f"CREATE TRIGGER {function} {when} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.add_column(
        "api_keys",
        sa.Column(
            "scopes",
            postgresql.ARRAY(sa.Text()),
            server_default="{admin}",
            nullable=False,
            comment="what it may do: admin, everything; check, ask for entitlements",
        ),
    )
    op.create_check_constraint(
        op.f("ck_api_keys_scopes"), "api_keys", "scopes <@ '{admin,check}' and cardinality(scopes) > 0"
    )
    op.execute("DROP FUNCTION check_entitlements(bigint, text)")
    op.execute(CHECK_ENTITLEMENTS)
    for statement in _announce():
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for function, table in TRIGGERS:
        op.execute(f"DROP TRIGGER {function} ON {table}")
        op.execute(f"DROP FUNCTION {function}()")
    op.execute("DROP FUNCTION check_entitlements(bigint, text[])")
    op.execute(CHECK_ENTITLEMENTS_BEFORE)
    # Without scopes a key that may only check would be let do everything.
    # The owner, too, sees no rows where none of a tenant's is named.
    op.execute("ALTER TABLE api_keys NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE api_keys SET revoked_at = now() WHERE revoked_at IS NULL AND NOT 'admin' = ANY (scopes)")
    op.execute("ALTER TABLE api_keys FORCE ROW LEVEL SECURITY")
    op.drop_column("api_keys", "scopes")

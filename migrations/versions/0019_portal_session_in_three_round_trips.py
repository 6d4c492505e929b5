"""A portal session in three round trips: what was asked for apart is told or kept where a visit is added and noted

Revision: 0019, after 0017. 2026-11-23 04:00:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None

TOKEN = "uq_portal_visits_tenant_id_token"

# Nobody has the session's URL yet, so what is so now is so before the visit. Where Stripe was asked in vain before, what
# was so then is no longer. The customer is named because before a table is first analysed one index seems as good as
# another: any of them then finds few rows.
NOTE = """
CREATE FUNCTION note_portal_session(tenant bigint, customer bigint, visit text, stripe_session text, reason text)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true), set_config('synchronous_commit', 'off', true);
    UPDATE portal_visits v SET session = stripe_session, left_out = coalesce(reason, v.left_out),
        before = CASE WHEN v.session IS NULL THEN portal_state(tenant, customer, '{}')::jsonb ELSE v.before END
    WHERE v.tenant_id = tenant AND v.customer_id = customer AND v.id = visit;
END
$$
"""

# A customer waits. Should the database's server crash within a second, the visit's result is `unknown`; but a token
# that was used must stay used. The lock comes before the count, whose snapshot is then newer than every visit before.
# No more rows are counted than matter, in the order of the index that is to be used. The tenant's state is told, which
# would otherwise be asked for before Stripe is; of a visit that was there too, whose session may be asked for again.
ADD = """
CREATE FUNCTION add_portal_visit(tenant bigint, given json, most bigint, OUT added boolean, OUT state text)
LANGUAGE plpgsql AS $$
DECLARE
    visit portal_visits;
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    visit := json_populate_record(NULL::portal_visits, given);
    IF visit.token IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('colonnade portal ' || visit.customer_id, tenant));
    visit.tenant_id := tenant;
    visit.created_at := clock_timestamp();
    INSERT INTO portal_visits SELECT visit.* WHERE most > (
        SELECT count(*) FROM (
            SELECT FROM portal_visits v
            WHERE v.tenant_id = tenant AND v.customer_id = visit.customer_id
                AND v.created_at > visit.created_at - interval '1 minute'
            ORDER BY v.created_at DESC LIMIT most) lately)
    ON CONFLICT DO NOTHING;
    added := FOUND;
    state := (SELECT t.state FROM tenants t WHERE t.id = tenant);
END
$$
"""

KNOWN_BEFORE = """
CREATE FUNCTION portal_known(tenant bigint, customer bigint) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    RETURN portal_state(tenant, customer, '{}');
END
$$
"""
NOTE_BEFORE = """
CREATE FUNCTION note_portal_session(tenant bigint, visit text, stripe_session text, reason text, known text)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true), set_config('synchronous_commit', 'off', true);
    UPDATE portal_visits v SET session = stripe_session, left_out = coalesce(reason, v.left_out),
        before = CASE WHEN v.session IS NULL THEN known::jsonb ELSE v.before END
    WHERE v.tenant_id = tenant AND v.id = visit;
END
$$
"""
ADD_BEFORE = """
CREATE FUNCTION add_portal_visit(tenant bigint, given json, most bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    visit portal_visits;
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    visit := json_populate_record(NULL::portal_visits, given);
    IF visit.token IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('colonnade portal ' || visit.customer_id, tenant));
    visit.tenant_id := tenant;
    visit.created_at := clock_timestamp();
    INSERT INTO portal_visits SELECT visit.* WHERE most > (
        SELECT count(*) FROM portal_visits v
        WHERE v.tenant_id = tenant AND v.customer_id = visit.customer_id
            AND v.created_at > visit.created_at - interval '1 minute')
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$
"""


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.drop_constraint(op.f(TOKEN), "portal_visits")
    op.create_index(
        "ix_portal_visits_tenant_id_token",
        "portal_visits",
        ["tenant_id", "token"],
        unique=True,
        postgresql_where=sa.text("token IS NOT NULL"),
    )
    op.execute("DROP FUNCTION portal_known(bigint, bigint)")
    op.execute("DROP FUNCTION note_portal_session(bigint, text, text, text, text)")
    op.execute("DROP FUNCTION add_portal_visit(bigint, json, bigint)")
    op.execute(NOTE)
    op.execute(ADD)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute("DROP FUNCTION note_portal_session(bigint, bigint, text, text, text)")
    op.execute("DROP FUNCTION add_portal_visit(bigint, json, bigint)")
    op.execute(ADD_BEFORE)
    op.execute(NOTE_BEFORE)
    op.execute(KNOWN_BEFORE)
    op.drop_index("ix_portal_visits_tenant_id_token", "portal_visits")
    op.create_unique_constraint(op.f(TOKEN), "portal_visits", ["tenant_id", "token"])

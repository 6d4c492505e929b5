"""A portal session in one round trip before Stripe is asked; its id is noted later, of many visits at once

Revision: 0024, after 0023. 2026-11-23 07:10:00
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

KNOWN_BEFORE = "what was known of the customer when it began; null until there is a session"
KNOWN = "what was known of the customer when it began; null: from before it was kept from the start"

# Should the database's server crash within a second, the visit's result is `unknown`; but a token that was used must
# stay used. The lock comes before the count, whose snapshot is then newer than every visit before. No more rows are
# counted than matter, in the order of the index that is to be used. What is known of the customer is kept before Stripe
# is asked: nobody has a URL yet. Where Stripe was asked in vain before, what was so then is no longer. The tenant's
# state is told, which would otherwise be asked for; of a visit that was there too, whose session may be asked for again.
KEEP = """
CREATE FUNCTION keep_portal_visit(tenant bigint, visit portal_visits, most bigint, OUT added boolean, OUT state text)
LANGUAGE plpgsql AS $$
BEGIN
    IF visit.token IS NULL THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('colonnade portal ' || visit.customer_id, tenant));
    visit.tenant_id := tenant;
    visit.created_at := clock_timestamp();
    visit.before := portal_state(tenant, visit.customer_id, '{}');
    INSERT INTO portal_visits SELECT visit.* WHERE most > (
        SELECT count(*) FROM (
            SELECT FROM portal_visits v
            WHERE v.tenant_id = tenant AND v.customer_id = visit.customer_id
                AND v.created_at > visit.created_at - interval '1 minute'
            ORDER BY v.created_at DESC LIMIT most) lately)
    ON CONFLICT DO NOTHING;
    added := FOUND;
    IF NOT added THEN
        UPDATE portal_visits v SET before = visit.before
        WHERE v.tenant_id = tenant AND v.customer_id = visit.customer_id AND v.id = visit.id AND v.session IS NULL;
    END IF;
    state := (SELECT t.state FROM tenants t WHERE t.id = tenant);
END
$$
"""

ADD = """
CREATE OR REPLACE FUNCTION add_portal_visit(
    tenant bigint, given json, most bigint, OUT added boolean, OUT state text
)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    SELECT k.added, k.state INTO added, state
    FROM keep_portal_visit(tenant, json_populate_record(NULL::portal_visits, given), most) k;
END
$$
"""

# As `portal_opening`. Where nothing is left to be looked at before Stripe is asked, the visit is kept as well: no rule
# has to be tried, everything is there and active, and the return URL was found to be allowed by the caller, or is the
# configuration's own and plainly at one of `origins` (as it was when it was set). Else `added` is null.
OPEN = """
CREATE FUNCTION open_portal(
    tenant bigint, customer_reference text, configuration_name text, given json, most bigint
)
RETURNS TABLE (
    customer_id bigint, stripe_customer text,
    configuration text, settings text, stripe_configuration text, active boolean,
    rules text, metadata text, country text, plans text[], added boolean, state text
)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    visit portal_visits;
BEGIN
    SELECT o.* INTO customer_id, stripe_customer, configuration, settings, stripe_configuration, active,
        rules, metadata, country, plans
    FROM portal_opening(tenant, customer_reference, configuration_name) o;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    visit := json_populate_record(NULL::portal_visits, given);
    visit.return_url := coalesce(visit.return_url, (
        SELECT own.url FROM (SELECT settings::json ->> 'default_return_url') own (url)
        WHERE EXISTS (SELECT FROM json_array_elements_text(given -> 'origins') o (origin)
            WHERE starts_with(own.url, o.origin || '/'))));
    IF rules IS NULL AND active AND stripe_customer IS NOT NULL AND stripe_configuration IS NOT NULL
        AND visit.return_url IS NOT NULL
    THEN
        visit.customer_id := customer_id;
        visit.configuration := configuration;
        visit.chosen_by := CASE WHEN configuration_name IS NULL THEN 'default' ELSE 'name' END;
        visit.fingerprint := sha256(convert_to('[' || customer_id || ',' || (given ->> 'wanted') || ']', 'UTF8'));
        SELECT k.added, k.state INTO added, state FROM keep_portal_visit(tenant, visit, most) k;
    END IF;
    RETURN NEXT;
END
$$
"""

# The customer is named because before a table is first analysed one index seems as good as another: any of them then
# finds few rows.
NOTE = """
CREATE FUNCTION note_portal_sessions(tenant bigint, given json) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    made portal_visits;
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true), set_config('synchronous_commit', 'off', true);
    FOR made IN SELECT * FROM json_populate_recordset(NULL::portal_visits, given) LOOP
        UPDATE portal_visits v SET session = made.session, left_out = coalesce(made.left_out, v.left_out)
        WHERE v.tenant_id = tenant AND v.customer_id = made.customer_id AND v.id = made.id;
    END LOOP;
END
$$
"""

ADD_BEFORE = """
CREATE OR REPLACE FUNCTION add_portal_visit(
    tenant bigint, given json, most bigint, OUT added boolean, OUT state text
)
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
NOTE_BEFORE = """
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


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.alter_column("portal_visits", "before", comment=KNOWN, existing_comment=KNOWN_BEFORE)
    op.execute("DROP FUNCTION note_portal_session(bigint, bigint, text, text, text)")
    for function in (KEEP, ADD, OPEN, NOTE):
        op.execute(function)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute("DROP FUNCTION note_portal_sessions(bigint, json)")
    op.execute("DROP FUNCTION open_portal(bigint, text, text, json, bigint)")
    op.execute(ADD_BEFORE)
    op.execute("DROP FUNCTION keep_portal_visit(bigint, portal_visits, bigint)")
    op.execute(NOTE_BEFORE)
    op.alter_column("portal_visits", "before", comment=KNOWN_BEFORE, existing_comment=KNOWN)

"""A portal session in few round trips, and what else a visit may change: discounts and invoices

Revision: 0013, after 0012. 2026-11-23 00:10:00
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Each function but the first sets the tenant itself, so that its call is a transaction of its own: one round trip.

STATE = """
CREATE FUNCTION portal_state(tenant bigint, customer bigint, asked_invoices text[]) RETURNS json
LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT json_build_object(
        'subscriptions', coalesce((
            SELECT json_agg(json_build_object(
                'id', s.id, 'status', s.status, 'cancel_at', s.cancel_at, 'schedule', s.schedule,
                'on_behalf_of', s.on_behalf_of, 'discounts', s.discounts,
                'items', coalesce((
                    SELECT json_agg(json_build_object(
                        'id', i.id, 'price', i.price, 'product', i.product, 'quantity', i.quantity) ORDER BY i.id)
                    FROM subscription_items i WHERE i.tenant_id = tenant AND i.subscription = s.id), '[]'),
                'pending', coalesce((
                    SELECT h.pending_items FROM subscription_schedules h
                    WHERE h.tenant_id = tenant AND h.id = s.schedule AND h.pending_start IS NOT NULL), '[]'::jsonb)
            ) ORDER BY s.id)
            FROM subscriptions s WHERE s.tenant_id = tenant AND s.customer_id = c.id), '[]'),
        'payment_methods', coalesce((
            SELECT json_agg(p.id ORDER BY p.id) FROM payment_methods p
            WHERE p.tenant_id = tenant AND p.customer_id = c.id AND NOT p.gone), '[]'),
        'default_payment_method', b.default_payment_method,
        'details', CASE WHEN b.id IS NULL THEN '{}' ELSE json_build_object(
            'name', left(encode(sha256(convert_to(coalesce(b.name, ''), 'UTF8')), 'hex'), 16),
            'email', left(encode(sha256(convert_to(coalesce(b.email, ''), 'UTF8')), 'hex'), 16),
            'phone', left(encode(sha256(convert_to(coalesce(b.phone, ''), 'UTF8')), 'hex'), 16),
            'address', left(encode(sha256(convert_to(coalesce(b.address::text, ''), 'UTF8')), 'hex'), 16)) END,
        'tax_ids', coalesce((
            SELECT json_agg(t.id ORDER BY t.id) FROM tax_ids t
            WHERE t.tenant_id = tenant AND t.customer_id = c.id AND NOT t.gone), '[]'),
        'invoices', coalesce((
            SELECT json_object_agg(v.id, v.status) FROM (
                SELECT n.id, n.status FROM invoices n
                WHERE n.tenant_id = tenant AND n.customer_id = c.id AND NOT n.gone
                    AND (n.status IN ('open', 'uncollectible') OR n.id = ANY (asked_invoices))
                ORDER BY n.id = ANY (asked_invoices) DESC, n.created_at DESC LIMIT 20) v), '{}')
    )
    FROM customers c LEFT JOIN billing_details b
        ON b.tenant_id = tenant AND b.customer_id = c.id AND b.id = c.stripe_customer
    WHERE c.tenant_id = tenant AND c.id = customer);
END
$$
"""

# What rules look at is read only where there are rules, and nobody named a configuration.
OPENING = """
CREATE FUNCTION portal_opening(tenant bigint, customer_reference text, configuration_name text)
RETURNS TABLE (
    customer_id bigint, stripe_customer text,
    configuration text, settings text, stripe_configuration text, active boolean,
    rules text, metadata text, country text, plans text[]
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    SELECT c.id, c.stripe_customer, c.metadata::text INTO customer_id, stripe_customer, metadata
    FROM customers c WHERE c.tenant_id = tenant AND c.reference = customer_reference;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT f.name, f.settings::text, f.stripe_configuration, f.active
    INTO configuration, settings, stripe_configuration, active
    FROM portal_configurations f
    WHERE f.tenant_id = tenant AND CASE WHEN configuration_name IS NULL THEN f.is_default
        ELSE f.name = configuration_name END;
    IF configuration_name IS NULL THEN
        SELECT r.rules::text INTO rules FROM portal_rules r WHERE r.tenant_id = tenant AND r.rules <> '[]';
    END IF;
    IF rules IS NOT NULL THEN
        SELECT b.address ->> 'country' INTO country FROM billing_details b
        WHERE b.tenant_id = tenant AND b.id = stripe_customer AND b.customer_id = portal_opening.customer_id;
        plans := ARRAY(
            SELECT DISTINCT p.key FROM subscriptions s
            JOIN subscription_items i ON i.tenant_id = tenant AND i.subscription = s.id
            JOIN plans p ON p.tenant_id = tenant AND (p.price = i.price OR p.product = i.product)
            WHERE s.tenant_id = tenant AND s.customer_id = portal_opening.customer_id
                AND s.status NOT IN ('canceled', 'incomplete_expired'));
    END IF;
    RETURN NEXT;
END
$$
"""

# Asked while Stripe makes the session: nobody has its URL yet, so what is so then is so before the visit.
KNOWN = """
CREATE FUNCTION portal_known(tenant bigint, customer bigint) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('colonnade.tenant', tenant::text, true);
    RETURN portal_state(tenant, customer, '{}');
END
$$
"""

# A customer waits. Should the database's server crash within a second, the visit's result is `unknown`; but a token
# that was used must stay used. The lock comes before the count, whose snapshot is then newer than every visit before.
ADD = """
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

# Where Stripe was asked in vain before, what was so then is no longer what was so before the visit.
NOTE = """
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

FUNCTIONS = {
    "portal_state(bigint, bigint, text[])": STATE,
    "portal_opening(bigint, text, text)": OPENING,
    "portal_known(bigint, bigint)": KNOWN,
    "add_portal_visit(bigint, json, bigint)": ADD,
    "note_portal_session(bigint, text, text, text, text)": NOTE,
}


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.add_column(
        "subscriptions",
        sa.Column("discounts", postgresql.ARRAY(sa.Text()), comment="di_…, sorted; null: from before they were kept"),
    )
    for function in FUNCTIONS.values():
        op.execute(function)
    # Who may do what, and for whom, is remembered together.
    op.execute("CREATE TRIGGER announce_tenant AFTER UPDATE ON tenants FOR EACH ROW EXECUTE FUNCTION announce_key()")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute("DROP TRIGGER announce_tenant ON tenants")
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_column("subscriptions", "discounts")

"""A visit is kept while Stripe makes its session; what has to be known before that is told in one short round trip

Revision: 0030, after 0029. 2026-11-23 14:40:00
"""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

# What 0013 made, and two more: the tenant's state, which would otherwise be asked for before Stripe is, and whether the
# customer had *most* visits within the last minute. No more rows are counted than matter.
OPENING = """
CREATE FUNCTION portal_opening(tenant bigint, customer_reference text, configuration_name text, most bigint)
RETURNS TABLE (
    customer_id bigint, stripe_customer text,
    configuration text, settings text, stripe_configuration text, active boolean,
    rules text, metadata text, country text, plans text[], state text, crowded boolean
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
    crowded := most <= (
        SELECT count(*) FROM (
            SELECT FROM portal_visits v
            WHERE v.tenant_id = tenant AND v.customer_id = portal_opening.customer_id
                AND v.created_at > clock_timestamp() - interval '1 minute'
            ORDER BY v.created_at DESC LIMIT most) lately);
    state := (SELECT t.state FROM tenants t WHERE t.id = tenant);
    RETURN NEXT;
END
$$
"""


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    # `open_portal`, and the `portal_opening` of 0013, stay for processes of the release before.
    op.execute(OPENING)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute("DROP FUNCTION portal_opening(bigint, text, text, bigint)")

"""A state's reason is that of the passage that led to it; a suspension's alone is taken up again

Revision: 0020, after 0019. 2026-11-23 05:30:00
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

DERIVE_STATE = """
CREATE OR REPLACE FUNCTION derive_tenant_state() RETURNS trigger LANGUAGE plpgsql AS $$
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
        {again}
    END IF;
    RETURN NEW;
END $$
"""
AGAIN = """-- A suspension that was below another state is there again for the reason that it had.
        IF NEW.state = 'suspended' AND NEW.state_reason IS NULL THEN
            NEW.state_reason := (
                SELECT reason FROM tenant_states
                WHERE tenant_id = NEW.id AND state = 'suspended' AND previous IN ('invited', 'onboarding', 'live')
                ORDER BY id DESC LIMIT 1
            );
        END IF;"""
AGAIN_BEFORE = """-- A state that was below another is there again for the reason that it had.
        NEW.state_reason := coalesce(NEW.state_reason, (
            SELECT reason FROM tenant_states WHERE tenant_id = NEW.id AND state = NEW.state ORDER BY id DESC LIMIT 1
        ));"""


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute(DERIVE_STATE.format(again=AGAIN))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute(DERIVE_STATE.format(again=AGAIN_BEFORE))

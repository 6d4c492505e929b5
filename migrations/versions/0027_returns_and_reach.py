"""A state that was below another is there again for the reason that it had; as what an account was last reached

Revision: 0027, after 0026. 2026-11-23 07:40:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

DERIVE_STATE = """
CREATE OR REPLACE FUNCTION derive_tenant_state() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    earlier record;
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
AGAIN = """-- Here, not after the update: the passage keeps its own reason, whatever the state's turns out to be.
        INSERT INTO tenant_states (tenant_id, previous, state, by, reason, at)
        VALUES (NEW.id, OLD.state, NEW.state, NEW.state_by, NEW.state_reason, NEW.state_since);
        -- What was below another state is there again for the reason that it had, by whoever brought it about.
        IF OLD.state IN ('disconnected', 'archived') AND NEW.state IN ('suspended', 'disconnected') THEN
            SELECT s.by AS actor, s.reason INTO earlier FROM tenant_states s
            WHERE tenant_id = NEW.id AND state = NEW.state AND previous NOT IN ('disconnected', 'archived')
                AND at >= CASE NEW.state WHEN 'suspended' THEN NEW.suspended_at ELSE NEW.disconnected_at END
            ORDER BY id DESC LIMIT 1;
            IF FOUND THEN
                NEW.state_by := earlier.actor;
                NEW.state_reason := earlier.reason;
            END IF;
        END IF;"""
AGAIN_BEFORE = """-- A suspension that was below another state is there again for the reason that it had.
        IF NEW.state = 'suspended' AND NEW.state_reason IS NULL THEN
            NEW.state_reason := (
                SELECT reason FROM tenant_states
                WHERE tenant_id = NEW.id AND state = 'suspended' AND previous IN ('invited', 'onboarding', 'live')
                ORDER BY id DESC LIMIT 1
            );
        END IF;"""
NOTE_STATE = """
CREATE OR REPLACE FUNCTION note_tenant_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {insert}
    PERFORM pg_notify('colonnade_entitlements', NEW.id || ':*');
    RETURN NULL;
END $$
"""
INSERT_BEFORE = """IF NEW.state <> OLD.state THEN
        INSERT INTO tenant_states (tenant_id, previous, state, by, reason, at)
        VALUES (NEW.id, OLD.state, NEW.state, NEW.state_by, NEW.state_reason, NEW.state_since);
    END IF;"""


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.add_column(
        "tenants",
        sa.Column("reached_as", sa.Text(), comment="acct_…/test or /live: the platform that could read the account"),
    )
    op.execute(DERIVE_STATE.format(again=AGAIN))
    op.execute(NOTE_STATE.format(insert=""))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute(NOTE_STATE.format(insert=INSERT_BEFORE))
    op.execute(DERIVE_STATE.format(again=AGAIN_BEFORE))
    op.drop_column("tenants", "reached_as")

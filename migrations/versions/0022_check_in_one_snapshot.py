"""A check reads one snapshot, of the moment that it gives as its own

Revision: 0022, after 0021. 2026-11-23 06:50:00
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    # A volatile function takes a new snapshot for each of its statements: planned for the first time on a busy machine,
    # the last one saw changes that were committed well after `now()`.
    op.execute("ALTER FUNCTION check_entitlements(bigint, text[]) STABLE")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.execute("ALTER FUNCTION check_entitlements(bigint, text[]) VOLATILE")

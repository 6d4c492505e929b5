"""Which changes of readiness the platform team was told of

Revision: 0025, after 0024. 2026-11-23 07:20:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

TABLE = "readiness_changes"
INDEX = "ix_readiness_changes_untold"


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    comment = "when the platform team's endpoint took it; null: not yet, or not wanted"
    op.add_column(TABLE, sa.Column("told_at", sa.DateTime(timezone=True), comment=comment))
    when = sa.DateTime(timezone=True)
    op.add_column(TABLE, sa.Column("tell_at", when, nullable=False, server_default=sa.text("now()")))
    op.add_column(TABLE, sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.create_index(
        INDEX, TABLE, ["tenant_id", "id"], postgresql_where=sa.text("told_at is null and tell_at < 'infinity'")
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.drop_index(INDEX, TABLE)
    for column in ("tries", "tell_at", "told_at"):
        op.drop_column(TABLE, column)

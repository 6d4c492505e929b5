"""A notification is in the index of places once it has one: recording it writes one entry less

Revision: 0023, after 0022. 2026-11-23 07:25:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

NAME = "uq_notifications_tenant_id_position"


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.drop_constraint(NAME, "notifications", type_="unique")
    op.create_index(
        NAME,
        "notifications",
        ["tenant_id", "position"],
        unique=True,
        postgresql_where=sa.text("position is not null"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.drop_index(NAME, table_name="notifications")
    op.create_unique_constraint(NAME, "notifications", ["tenant_id", "position"])

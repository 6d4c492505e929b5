"""Which platform account at Stripe the database belongs to: a key of another one is refused

Revision: 0029, after 0027. 2026-11-23 08:05:00
"""

import sqlalchemy as sa
from alembic import op

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0029"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.create_table(
        "platform_account",
        sa.Column("single", sa.Boolean(), server_default="true", nullable=False, comment="there is one row"),
        sa.Column("account", sa.Text(), nullable=False, comment="acct_…"),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("single", name=op.f("ck_platform_account_single")),
        sa.PrimaryKeyConstraint("single", name=op.f("pk_platform_account")),
        comment="the platform's own account at Stripe, as the first call found it",
    )
    for statement in row_security.grant("platform_account", "SELECT, INSERT", [Duty.PLATFORM, Duty.WORKER]):
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.drop_table("platform_account")

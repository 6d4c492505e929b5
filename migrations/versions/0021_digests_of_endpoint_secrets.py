"""Which secret an endpoint's events are signed with, as its digest: the doctor finds one that is missing or misplaced

Revision: 0021, after 0020. 2026-11-23 05:40:00
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

WITHOUT = "the endpoints that Colonnade made at Stripe; their secrets are nowhere here"
WITH = "the endpoints that Colonnade made at Stripe; of their secrets only digests are here"


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.add_column(
        "webhook_endpoints",
        sa.Column("secret_digest", sa.LargeBinary(), comment="SHA-256; null: made before it was kept"),
    )
    op.create_table_comment("webhook_endpoints", WITH, existing_comment=WITHOUT)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.create_table_comment("webhook_endpoints", WITHOUT, existing_comment=WITH)
    op.drop_column("webhook_endpoints", "secret_digest")

"""Times that callers give lie in the years 2000 to 2999; and a key says which one follows it

Revision: 0026, after 0025. 2026-11-23 07:50:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

BOUNDED = {
    "api_keys": "expires_at",
    "entitlement_overrides": "ends_at",
    "entitlement_policies": "effective_from",
    "feature_versions": "effective_from",
    "plan_versions": "effective_from",
}


def bounded(table: str, column: str) -> Iterator[str]:
    # The last moment that Python knows was written as infinity, and could not be read again.
    yield f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"
    yield f"UPDATE {table} SET {column} = '2999-12-31 23:59:59Z' WHERE {column} >= '3000-01-01Z'"  # noqa: S608
    yield f"UPDATE {table} SET {column} = '2000-01-01Z' WHERE {column} < '2000-01-01Z'"  # noqa: S608
    yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
    rule = f"{column} >= '2000-01-01Z' AND {column} < '3000-01-01Z'"
    yield f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{column} CHECK ({rule})"


def upgrade() -> None:
    # A migration that cannot have its lock soon gives up: waiting, it would hold up every reader behind it.
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for table, column in BOUNDED.items():
        for statement in bounded(table, column):
            op.execute(statement)
    op.add_column("api_keys", sa.Column("followed_by", sa.Text(), comment="key_… that its rotation made"))


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.drop_column("api_keys", "followed_by")
    for table, column in BOUNDED.items():
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{column}")

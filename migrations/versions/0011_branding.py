"""Branding that a worker can finish, and the pictures that belong to it

Revision: 0011, after 0010. 2026-11-22 21:30:00
"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from colonnade.database import row_security
from colonnade.database.roles import Duty

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _security() -> Iterator[str]:
    yield from row_security.across_tenants("branding", "SELECT", Duty.WORKER)
    yield from row_security.grant("branding", "SELECT, UPDATE", [Duty.WORKER])
    yield from row_security.protect("branding_images")
    yield from row_security.across_tenants("branding_images", "ALL", Duty.PLATFORM)
    yield from row_security.grant("branding_images", "SELECT, INSERT, UPDATE, DELETE", [Duty.APP, Duty.PLATFORM])
    yield from row_security.grant("branding_images", "SELECT, UPDATE", [Duty.WORKER])


def _columns() -> Iterator[sa.Column[object]]:
    time = sa.DateTime(timezone=True)
    yield sa.Column(
        "version", sa.BigInteger(), server_default="1", nullable=False, comment="of what the tenant asked for"
    )
    yield sa.Column(
        "refused",
        postgresql.ARRAY(sa.Text()),
        server_default="{}",
        nullable=False,
        comment="the parts that Stripe refused",
    )
    yield sa.Column("dashboard", sa.Text(), comment="which dashboard the account's owner has, where Stripe refused")
    yield sa.Column(
        "failures",
        sa.Integer(),
        server_default="0",
        nullable=False,
        comment="tries in a row that Stripe did not answer",
    )
    yield sa.Column("try_at", time, comment="when a worker asks Stripe again; null: not pending")
    yield sa.Column("claimed_until", time, comment="a process is asking Stripe, and has until then")


def _create_images() -> None:
    op.create_table(
        "branding_images",
        sa.Column("tenant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="a PNG that was made here"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="its SHA-256"),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("stripe_file", sa.Text(), comment="file_…, once the account has it"),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind in ('icon', 'logo')", name=op.f("ck_branding_images_kind")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_branding_images_tenant_id_tenants")),
        sa.PrimaryKeyConstraint("tenant_id", "kind", name=op.f("pk_branding_images")),
    )


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for column in _columns():
        op.add_column("branding", column)
    op.alter_column("branding", "problem", comment="why Stripe refused it, or why it is pending")
    op.execute("ALTER TABLE branding NO FORCE ROW LEVEL SECURITY")
    # What was pending had nobody who tried again. A picture was named by its file, which stays at the account.
    op.execute("UPDATE branding SET try_at = now() WHERE state = 'pending'")
    op.execute("UPDATE branding SET settings = settings - 'icon' - 'logo'")
    op.execute("ALTER TABLE branding FORCE ROW LEVEL SECURITY")
    op.create_check_constraint(op.f("ck_branding_try_at"), "branding", "(state = 'pending') = (try_at is not null)")
    waiting = sa.text("try_at is not null")
    op.create_index("ix_branding_try_at", "branding", ["try_at"], postgresql_where=waiting)
    _create_images()
    for statement in _security():
        op.execute(statement)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.drop_table("branding_images")
    op.execute(f"REVOKE SELECT, UPDATE ON branding FROM {Duty.WORKER}")
    op.execute("DROP POLICY worker_select ON branding")
    op.drop_index("ix_branding_try_at", "branding")
    op.drop_constraint(op.f("ck_branding_try_at"), "branding")
    for column in _columns():
        op.drop_column("branding", column.name)
    op.alter_column("branding", "problem", comment="why Stripe refused it")

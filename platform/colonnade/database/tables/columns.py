"""What the platform's tables have in common."""

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, MetaData

from colonnade_tenants.partition import NAMING

metadata = MetaData(naming_convention=NAMING)


def id_column() -> Column[int]:
    """The internal id."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def tenant_column(**options: object) -> Column[int]:
    """Whose it is."""
    return Column("tenant_id", BigInteger, ForeignKey("tenants.id"), **options)  # type: ignore[arg-type]


def of_tenant() -> Column[int]:
    """Whose it is, and gone with it: a tenant that was never made, and those of tests."""
    return Column("tenant_id", BigInteger, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False)

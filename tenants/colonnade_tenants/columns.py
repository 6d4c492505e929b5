"""Columns that many tables have, of the tenants' and of the platform's."""

from sqlalchemy import CheckConstraint, Column, DateTime, func

from colonnade_tenants.times import EARLIEST, END

Timestamp = DateTime(timezone=True)


def now_column(name: str) -> Column[object]:
    """When the row was written."""
    return Column(name, Timestamp, nullable=False, server_default=func.now())


def in_bounds(name: str) -> CheckConstraint:
    """Of a column with times that callers give: none that a computation, or the driver, would stumble over."""
    return CheckConstraint(f"{name} >= '{EARLIEST:%Y-%m-%d}Z' and {name} < '{END:%Y-%m-%d}Z'", name=name)

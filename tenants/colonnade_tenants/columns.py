"""Columns that many tables have, of the tenants' and of the platform's."""

from sqlalchemy import Column, DateTime, func

Timestamp = DateTime(timezone=True)


def now_column(name: str) -> Column[object]:
    """When the row was written."""
    return Column(name, Timestamp, nullable=False, server_default=func.now())

"""The check: what a customer may use at this moment, in one round trip."""

from datetime import datetime

import asyncpg
import msgspec

from colonnade_tenants.entitlements.model import Kind

_CHECK = "select * from check_entitlements($1, $2)"


class CheckedEntitlement(msgspec.Struct, frozen=True):
    """One feature of the tenant, and what the customer has of it now.

    *value*: true or false for a flag; a number, or null for no limit. What is not granted counts as false or 0, never
    as null. *valid_until* is exclusive; null: no end is known.
    """

    feature: str
    kind: Kind
    unit: str | None
    granted: bool
    value: bool | int | None
    valid_from: datetime | None
    valid_until: datetime | None
    sources: list[str]


class CheckResult(msgspec.Struct, frozen=True):
    """Every feature of the tenant, by key, for one customer. *as_of* is the database's clock, which decided."""

    customer: str
    as_of: datetime
    entitlements: list[CheckedEntitlement]

    def get(self, feature: str) -> CheckedEntitlement | None:
        """The answer for one feature; None: the tenant has no such feature."""
        return next((answer for answer in self.entitlements if answer.feature == feature), None)


async def check(pool: asyncpg.Pool, tenant_id: int, reference: str) -> CheckResult | None:
    """What the customer with this reference may use; None: the tenant has no such customer.

    The database function sets the tenant and reads: a transaction of its own costs three round trips more.
    """
    # PostgreSQL would refuse some unprintable characters, and no reference has any.
    rows = await pool.fetch(_CHECK, tenant_id, reference) if reference.isprintable() else []
    if not rows:
        return None
    return CheckResult(reference, rows[0]["as_of"], [_answer(row) for row in rows if row["feature"] is not None])


def _answer(row: asyncpg.Record) -> CheckedEntitlement:
    granted, flag = row["granted"], row["kind"] == "flag"
    return CheckedEntitlement(
        feature=row["feature"],
        kind=row["kind"],
        unit=row["unit"],
        granted=granted,
        value=granted if flag else row["value"] if granted else 0,
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        sources=row["sources"] or [],
    )

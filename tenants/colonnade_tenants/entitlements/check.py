"""The check: what a customer may use at this moment, in one round trip."""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

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
    """Every feature of the tenant, by key, for one customer (*customer_id* is internal).

    *as_of* is the database's clock, which decided; at *changes_at* the clock alone will change an answer, null: never.
    *complete_until*: up to then no event of the tenant's own account is missing, null: no sweep has looked; on that of
    the platform it depends as well where *on_platform*.
    """

    customer: str
    customer_id: int
    as_of: datetime
    changes_at: datetime | None
    complete_until: datetime | None
    on_platform: bool
    entitlements: list[CheckedEntitlement]

    def get(self, feature: str) -> CheckedEntitlement | None:
        """The answer for one feature; None: the tenant has no such feature."""
        return next((answer for answer in self.entitlements if answer.feature == feature), None)


async def check(pool: asyncpg.Pool, tenant_id: int, reference: str) -> CheckResult | None:
    """What the customer with this reference may use; None: the tenant has no such customer."""
    return (await check_many(pool, tenant_id, [reference])).get(reference)


async def check_many(pool: asyncpg.Pool, tenant_id: int, references: Sequence[str]) -> dict[str, CheckResult]:
    """As `check` for several customers, by reference; without those whom the tenant does not have.

    The database function sets the tenant and reads: a transaction of its own costs three round trips more.
    """
    # PostgreSQL would refuse some unprintable characters, and no reference has any.
    wanted = [reference for reference in references if reference.isprintable()]
    rows = await pool.fetch(_CHECK, tenant_id, wanted) if wanted else []
    return {customer: _result(list(group)) for customer, group in groupby(rows, key=lambda row: row["customer"])}


def _result(rows: list[asyncpg.Record]) -> CheckResult:
    first = rows[0]
    return CheckResult(
        customer=first["customer"],
        customer_id=first["customer_id"],
        as_of=first["as_of"],
        changes_at=first["changes_at"],
        complete_until=first["complete_until"],
        on_platform=first["on_platform"],
        entitlements=[_answer(row) for row in rows if row["feature"] is not None],
    )


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

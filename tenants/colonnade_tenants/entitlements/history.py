"""What was believed when: the append-only changes of a customer's entitlements."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from colonnade_tenants.entitlements.model import Entitlement
from colonnade_tenants.entitlements.reasons import Reason
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import entitlement_changes


class Recorded(msgspec.Struct, frozen=True):
    """One change of one feature; *before* and *after* are its timelines as known then, empty where nothing was granted.

    *sequence* counts up by one per customer. *cause* is a Stripe event (`evt_…`), `override:ovr_…`,
    `plan:KEY@VERSION`, `feature:KEY@VERSION`, `policy@VERSION`, `import`, or `clock` where an end or a start came by
    itself. *reasons* say what the timeline after is made of.
    """

    sequence: int
    feature: str
    cause: str
    before: list[Entitlement]
    after: list[Entitlement]
    recorded_at: datetime
    reasons: list[Reason]


_TABLE = entitlement_changes.c
_COLUMNS = [_TABLE[name] for name in Recorded.__struct_fields__]


def _of(customer_id: int) -> Any:
    return select(*_COLUMNS).where(_TABLE.tenant_id == TENANT, _TABLE.customer_id == customer_id)


async def list_changes(session: TenantSession, customer_id: int, before: int | None, limit: int) -> list[Recorded]:
    """At most *limit* changes, the newest first, from the one before the number *before*."""
    page = _of(customer_id)
    if before is not None:
        page = page.where(_TABLE.sequence < before)
    return [_recorded(row) for row in await session.execute(page.order_by(_TABLE.sequence.desc()).limit(limit))]


async def believed(session: TenantSession, customer_id: int, at: datetime) -> list[Recorded]:
    """The last change of each feature that was recorded by *at*."""
    newest = (
        _of(customer_id)
        .where(_TABLE.recorded_at <= at)
        .ext(distinct_on(_TABLE.feature))
        .order_by(_TABLE.feature, _TABLE.recorded_at.desc(), _TABLE.sequence.desc())
    )
    return [_recorded(row) for row in await session.execute(newest)]


_LISTS = ("before", "after", "reasons")  # null where there is nothing


def _recorded(row: Any) -> Recorded:
    fields = {name: getattr(row, name) for name in Recorded.__struct_fields__}
    return msgspec.convert({**fields, **{name: fields[name] or [] for name in _LISTS}}, Recorded)

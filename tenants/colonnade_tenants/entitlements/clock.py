"""What ends by the clock alone: a grace, an override, a canceled period, a version of a plan that another follows.

Checks compare with the clock themselves and need none of this. It is for those who are told of changes: that the moment
has come is noted in the history, with the cause `clock`; the timeline is the same before and after. A value that only
begins by itself is not noted again: the change that made it known said from when.
"""

from collections import defaultdict
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, bindparam, select

from colonnade_tenants import customers, locks
from colonnade_tenants.entitlements.compute import pieces_of
from colonnade_tenants.entitlements.facts import load
from colonnade_tenants.entitlements.reasons import reasons_of
from colonnade_tenants.entitlements.rows import BOOKS, Book, Change
from colonnade_tenants.notifications import notes, record
from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.tables import entitlement_changes, entitlements

CLOCK = "clock"
BATCH = 200
"""Ends noted in one transaction."""

_SINCE: Any = bindparam("since", type_=DateTime(timezone=True))
_UNTIL: Any = bindparam("until", type_=DateTime(timezone=True))
_ENDED = Statement(
    select(entitlements.c.customer_id, entitlements.c.feature)
    .distinct()
    .where(
        entitlements.c.tenant_id == TENANT,
        entitlements.c.valid_until > _SINCE,
        entitlements.c.valid_until <= _UNTIL,
        # Whatever was recorded since then knew of it: news that came late, or this very note before a crash.
        ~select(entitlement_changes.c.sequence)
        .where(
            entitlement_changes.c.tenant_id == TENANT,
            entitlement_changes.c.customer_id == entitlements.c.customer_id,
            entitlement_changes.c.feature == entitlements.c.feature,
            entitlement_changes.c.recorded_at >= entitlements.c.valid_until,
        )
        .exists(),
    )
    .order_by(entitlements.c.customer_id, entitlements.c.feature)
    .limit(bindparam("batch", type_=BigInteger))
)


async def note_ends(tenant: TenantConnection, since: datetime, until: datetime) -> bool:
    """Note what ended in (*since*, *until*], a batch of it; whether that was all. Harmless to repeat."""
    ended: dict[int, list[str]] = defaultdict(list)
    await locks.read_catalogue(tenant)
    rows = await tenant.fetch(_ENDED, since=since, until=until, batch=BATCH)
    for row in rows:
        ended[row["customer_id"]].append(row["feature"])
    if ended:
        await customers.lock(tenant, *ended)
        await _note(tenant, ended)
    return len(rows) < BATCH


async def _note(tenant: TenantConnection, ended: dict[int, list[str]]) -> None:
    facts = await load(tenant, list(ended))
    books: dict[int, tuple[Book | None, Book]] = {}
    for customer, book in (await tenant.load(BOOKS, list(ended))).items():
        if book is None:
            continue
        pieces = pieces_of(facts[customer])
        changes = []
        for number, feature in enumerate(ended[customer], book.sequence + 1):
            timeline = [row for row in book.present if row.feature == feature]
            changes.append(Change(number, feature, timeline, timeline, CLOCK, reasons_of(pieces.get(feature, ()))))
        books[customer] = book, Book(book.present, book.sequence + len(changes), tuple(changes))
    await BOOKS.save(tenant, books)
    await record(tenant, notes.entitlements_changed({customer: new.changes for customer, (_, new) in books.items()}))

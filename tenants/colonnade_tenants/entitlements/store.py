"""Entitlements as rows, and the history of their changes, in the transaction of the fact that caused them."""

from collections.abc import Mapping, Sequence

import msgspec

from colonnade_tenants import customers, locks
from colonnade_tenants.entitlements.compute import Piece, pieces_of, timelines
from colonnade_tenants.entitlements.facts import Known, load
from colonnade_tenants.entitlements.model import Entitlement
from colonnade_tenants.entitlements.reasons import reasons_of
from colonnade_tenants.entitlements.rows import Book, Change, write
from colonnade_tenants.partition import TenantConnection


async def recompute(tenant: TenantConnection, customer_id: int, cause: str) -> list[Change]:
    """Bring the customer's rows in line with its facts, and note what changed. *cause*: `evt_…`, `override:ovr_…`, …

    Raises `NotFound` for a customer that does not exist.
    """
    return (await recompute_many(tenant, [customer_id], cause))[customer_id]


async def recompute_many(tenant: TenantConnection, customer_ids: Sequence[int], cause: str) -> dict[int, list[Change]]:
    """As `recompute`, for several customers in a few round trips."""
    await locks.read_catalogue(tenant)
    for customer in sorted(customer_ids):
        await customers.lock(tenant, customer)
    known = await load(tenant, customer_ids)
    books = {customer: (Book(each.present, each.sequence), _book(each, cause)) for customer, each in known.items()}
    await write(tenant, books)
    return {customer: list(new.changes) for customer, (_, new) in books.items()}


def _book(known: Known, cause: str) -> Book:
    pieces = pieces_of(known.facts)
    wanted = timelines(pieces, known.facts.combinations)
    changes = [] if wanted == known.present else _changes(known.sequence, known.present, wanted, cause, pieces)
    return Book(wanted, known.sequence + len(changes), tuple(changes))


def _changes(
    last: int,
    present: Sequence[Entitlement],
    wanted: Sequence[Entitlement],
    cause: str,
    pieces: Mapping[str, Sequence[Piece]],
) -> list[Change]:
    changes: list[Change] = []
    for feature in sorted({row.feature for row in (*present, *wanted)}):
        before = [row for row in present if row.feature == feature]
        after = [row for row in wanted if row.feature == feature]
        if before != after:
            why = [msgspec.to_builtins(reason) for reason in reasons_of(pieces.get(feature, ()))]
            changes.append(Change(last + len(changes) + 1, feature, before, after, cause, why))
    return changes

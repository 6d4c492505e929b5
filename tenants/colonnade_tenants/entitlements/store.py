"""Entitlements as rows, their history, and telling the tenant, in the transaction of the fact that changed them."""

from collections.abc import Mapping, Sequence

from colonnade_tenants import customers, locks
from colonnade_tenants.entitlements.compute import Piece, pieces_of, timelines
from colonnade_tenants.entitlements.facts import load, load_one
from colonnade_tenants.entitlements.model import Entitlement, Facts
from colonnade_tenants.entitlements.reasons import reasons_of
from colonnade_tenants.entitlements.rows import BOOKS, Book, Change
from colonnade_tenants.notifications import notes, record, tell
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.watching import watched

_EMPTY = Book([], 0)


@watched("recompute")
async def recompute(tenant: TenantConnection, customer_id: int, cause: str) -> list[Change]:
    """Bring the customer's rows in line with its facts, note what changed, and tell the tenant.

    *cause*: `evt_…`, `override:ovr_…`, …
    Does nothing where that is `deferred`. Raises `NotFound` for a customer that does not exist.
    """
    await locks.read_catalogue(tenant)
    await customers.lock(tenant, customer_id)
    if tenant.deferred:
        return []
    facts = await load_one(tenant, customer_id)
    book = await tenant.get(BOOKS, customer_id) or _EMPTY
    changes, new = _next(facts, book, cause)
    if changes:
        await tenant.put(BOOKS, customer_id, new, book)
        await tell(tenant, notes.entitlements_changed({customer_id: changes}))
    return changes


@watched("recompute")
async def recompute_many(tenant: TenantConnection, customer_ids: Sequence[int], cause: str) -> None:
    """As `recompute`, for customers whom the transaction does nothing else with: one statement writes them all."""
    await locks.read_catalogue(tenant)
    await customers.lock(tenant, *customer_ids)
    facts = await load(tenant, customer_ids)
    books = {customer: book or _EMPTY for customer, book in (await tenant.load(BOOKS, customer_ids)).items()}
    changes: dict[int, list[Change]] = {}
    new: dict[int, Book] = {}
    for customer, book in books.items():
        changes[customer], new[customer] = _next(facts[customer], book, cause)
    await BOOKS.save(tenant, {customer: (book, new[customer]) for customer, book in books.items()})
    await record(tenant, notes.entitlements_changed(changes))


def _next(facts: Facts, book: Book, cause: str) -> tuple[list[Change], Book]:
    """What changes, and the book that says so."""
    pieces = pieces_of(facts)
    wanted = timelines(pieces, facts.combinations)
    if wanted == book.present:
        return [], book
    changes = _changes(book, wanted, cause, pieces)
    return changes, Book(wanted, book.sequence + len(changes), (*book.changes, *changes))


def _changes(
    book: Book, wanted: Sequence[Entitlement], cause: str, pieces: Mapping[str, Sequence[Piece]]
) -> list[Change]:
    changes: list[Change] = []
    for feature in sorted({row.feature for row in (*book.present, *wanted)}):
        before = [row for row in book.present if row.feature == feature]
        after = [row for row in wanted if row.feature == feature]
        if before != after:
            changes.append(
                Change(
                    book.sequence + len(changes) + 1, feature, before, after, cause, reasons_of(pieces.get(feature, ()))
                )
            )
    return changes

"""Entitlements as rows, and the history of their changes, in the transaction of the fact that caused them."""

from collections.abc import Sequence

from colonnade_tenants import customers, locks, subscriptions
from colonnade_tenants.entitlements.compute import Entitlement, Item, Policy, Subscription, compute
from colonnade_tenants.entitlements.rows import BOOKS, PLANS, Book, Change
from colonnade_tenants.partition import TenantConnection

_POLICY = Policy()


async def recompute(tenant: TenantConnection, customer_id: int, cause: str, policy: Policy = _POLICY) -> list[Change]:
    """Bring the customer's rows in line with its facts, and note what changed. *cause*: `evt_…`, `plan:KEY`, …

    Raises `NotFound` for a customer that does not exist.
    """
    await locks.read_catalogue(tenant)
    await customers.lock(tenant, customer_id)
    facts = await tenant.get(subscriptions.OF_CUSTOMER, customer_id) or {}
    book = await tenant.get(BOOKS, customer_id) or Book([], 0)
    subscribed = [_subscription(mirrored) for mirrored in facts.values()]
    sold = {key for each in subscribed for item in each.items for key in (item.price, item.product)}
    plans = (await tenant.load(PLANS, sorted(sold))).values()
    wanted = compute(subscribed, [plan for plan in plans if plan is not None], policy)
    if wanted == book.present:
        return []
    changes = _changes(book.sequence, book.present, wanted, cause)
    new = Book(wanted, book.sequence + len(changes), (*book.changes, *changes))
    await tenant.put(BOOKS, customer_id, new, book)
    return changes


def _subscription(mirrored: subscriptions.Mirrored) -> Subscription:
    facts = mirrored.held.facts
    items = tuple(
        Item(item.id, item.price, item.product, item.quantity, item.current_period_end) for item in facts.items
    )
    return Subscription(
        status=facts.status,
        started_at=facts.started_at,
        cancel_at=facts.cancel_at,
        cancel_at_period_end=facts.cancel_at_period_end,
        ended_at=facts.ended_at,
        past_due_since=mirrored.past_due.since,
        items=items,
    )


def _changes(last: int, present: Sequence[Entitlement], wanted: Sequence[Entitlement], cause: str) -> list[Change]:
    changes: list[Change] = []
    for feature in sorted({row.feature for row in (*present, *wanted)}):
        before = [row for row in present if row.feature == feature]
        after = [row for row in wanted if row.feature == feature]
        if before != after:
            changes.append(Change(last + len(changes) + 1, feature, before, after, cause))
    return changes

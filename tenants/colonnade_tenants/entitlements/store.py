"""Entitlements as rows, and the history of their changes, in the transaction of the fact that caused them."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import msgspec

from colonnade_tenants import customers, locks
from colonnade_tenants.entitlements import rows
from colonnade_tenants.entitlements.compute import Entitlement, Grant, Item, Plan, Policy, Subscription, compute
from colonnade_tenants.partition import TenantConnection

_POLICY = Policy()


class Change(msgspec.Struct, frozen=True):
    """One feature's timeline before and after; empty where it was not, or is no longer, granted.

    *sequence* counts up by one per customer.
    """

    sequence: int
    feature: str
    before: list[Entitlement]
    after: list[Entitlement]


async def recompute(tenant: TenantConnection, customer_id: int, cause: str, policy: Policy = _POLICY) -> list[Change]:
    """Bring the customer's rows in line with its facts, and note what changed. *cause*: `evt_…`, `plan:KEY`, …

    Raises `NotFound` for a customer that does not exist.
    """
    await locks.read_catalogue(tenant)
    await customers.lock(tenant, customer_id)
    subscriptions = await _subscriptions(tenant, customer_id)
    wanted = compute(subscriptions, await _plans(tenant, subscriptions), policy)
    present = await _present(tenant, customer_id)
    if wanted == present:
        return []
    await _replace(tenant, customer_id, present, wanted)
    return await _append(tenant, customer_id, cause, present, wanted)


async def _subscriptions(tenant: TenantConnection, customer_id: int) -> list[Subscription]:
    found = await tenant.fetch(rows.SUBSCRIPTION_ITEMS, customer=customer_id)
    by_subscription = (list(group) for _, group in groupby(found, key=lambda row: row["subscription"]))
    return [
        msgspec.convert({**group[0], "items": [dict(row) for row in group]}, Subscription) for group in by_subscription
    ]


async def _plans(tenant: TenantConnection, subscriptions: Iterable[Subscription]) -> list[Plan]:
    items: list[Item] = [item for subscription in subscriptions for item in subscription.items]
    if not items:
        return []
    found = await tenant.fetch(
        rows.PLAN_GRANTS, prices=list({item.price for item in items}), products=list({item.product for item in items})
    )
    plans = []
    for _, group in groupby(found, key=lambda row: row["key"]):
        lines = list(group)
        # A plan without grants still takes precedence over its product's plan.
        grants = tuple(msgspec.convert(dict(row), Grant) for row in lines if row["feature"] is not None)
        plans.append(Plan(lines[0]["price"], lines[0]["product"], grants))
    return plans


async def _present(tenant: TenantConnection, customer_id: int) -> list[Entitlement]:
    found = await tenant.fetch(rows.ENTITLEMENTS, customer=customer_id)
    present = [Entitlement(**{**row, "sources": tuple(row["sources"])}) for row in found]
    return sorted(present, key=lambda row: (row.feature, row.valid_from))


async def _replace(
    tenant: TenantConnection, customer_id: int, present: Sequence[Entitlement], wanted: Sequence[Entitlement]
) -> None:
    kept = set(present) & set(wanted)
    gone = [row for row in present if row not in kept]
    new = [row for row in wanted if row not in kept]
    if gone:
        keys = [{"customer": customer_id, "of_feature": row.feature, "since": row.valid_from} for row in gone]
        await tenant.execute_many(rows.DELETE_ENTITLEMENT, keys)
    if new:
        added = [{"customer": customer_id, **msgspec.structs.asdict(row)} for row in new]
        await tenant.execute_many(rows.ADD_ENTITLEMENT, added)


async def _append(
    tenant: TenantConnection,
    customer_id: int,
    cause: str,
    present: Sequence[Entitlement],
    wanted: Sequence[Entitlement],
) -> list[Change]:
    last = await tenant.fetch_one(rows.LAST_SEQUENCE, customer=customer_id)
    sequence: int = last["sequence"] if last else 0
    changes = []
    for feature in sorted({row.feature for row in (*present, *wanted)}):
        before = [row for row in present if row.feature == feature]
        after = [row for row in wanted if row.feature == feature]
        if before != after:
            sequence += 1
            changes.append(Change(sequence, feature, before, after))
    lines = [{"customer": customer_id, "cause": cause, **_line(change)} for change in changes]
    await tenant.execute_many(rows.ADD_CHANGE, lines)
    return changes


def _line(change: Change) -> dict[str, Any]:
    return {
        "sequence": change.sequence,
        "feature": change.feature,
        "before": _json(change.before),
        "after": _json(change.after),
    }


def _json(timeline: Sequence[Entitlement]) -> str | None:
    return msgspec.json.encode(timeline).decode() if timeline else None

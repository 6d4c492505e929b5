"""Entitlements as rows, and the history of their changes, in the transaction of the fact that caused them."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec

from colonnade_tenants import customers, locks
from colonnade_tenants.entitlements import rows
from colonnade_tenants.entitlements.compute import compute
from colonnade_tenants.entitlements.model import Entitlement, Facts, Grant, Plan, Policy, Subscription
from colonnade_tenants.errors import NotFound
from colonnade_tenants.notifications import notes, record
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
    facts = await tenant.fetch_one(rows.FACTS, customer=customer_id)
    if facts is None:
        raise NotFound("There is no such customer.")
    wanted = compute(
        Facts(tuple(_subscriptions(facts["items"] or "[]")), tuple(_plans(facts["grants"] or "[]")), (policy,))
    )
    present = _present(facts["present"] or "[]")
    if wanted == present:
        return []
    changes = _changes(facts["sequence"], present, wanted)
    await _write(tenant, customer_id, cause, present, wanted, changes)
    await record(tenant, [notes.entitlements_changed(customer_id, cause, changes)])
    return changes


def _subscriptions(found: str) -> list[Subscription]:
    lines = sorted(msgspec.json.decode(found), key=lambda line: line["subscription"])
    by_subscription = (list(group) for _, group in groupby(lines, key=lambda line: line["subscription"]))
    return [msgspec.convert({**group[0], "items": group}, Subscription) for group in by_subscription]


def _plans(found: str) -> list[Plan]:
    lines = sorted(msgspec.json.decode(found), key=lambda line: line["key"])
    plans = []
    for _, group in groupby(lines, key=lambda line: line["key"]):
        of_plan = list(group)
        # A plan without grants still takes precedence over its product's plan.
        grants = tuple(msgspec.convert(line, Grant) for line in of_plan if line["feature"] is not None)
        plans.append(Plan(of_plan[0]["key"], of_plan[0]["price"], of_plan[0]["product"], grants))
    return plans


def _present(found: str) -> list[Entitlement]:
    return sorted(msgspec.json.decode(found, type=list[Entitlement]), key=lambda row: (row.feature, row.valid_from))


async def _write(
    tenant: TenantConnection,
    customer_id: int,
    cause: str,
    present: Sequence[Entitlement],
    wanted: Sequence[Entitlement],
    changes: Sequence[Change],
) -> None:
    kept = set(present) & set(wanted)
    keys = {(row.feature, row.valid_from) for row in wanted}
    gone = [row for row in present if (row.feature, row.valid_from) not in keys]
    await tenant.execute(
        rows.WRITE,
        customer=customer_id,
        cause=cause,
        gone=_text(gone),
        wanted=_text([row for row in wanted if row not in kept]),
        changes=_text([_line(change) for change in changes]),
    )


def _changes(last: int, present: Sequence[Entitlement], wanted: Sequence[Entitlement]) -> list[Change]:
    changes: list[Change] = []
    for feature in sorted({row.feature for row in (*present, *wanted)}):
        before = [row for row in present if row.feature == feature]
        after = [row for row in wanted if row.feature == feature]
        if before != after:
            changes.append(Change(last + len(changes) + 1, feature, before, after))
    return changes


def _line(change: Change) -> dict[str, Any]:
    return {
        "sequence": change.sequence,
        "feature": change.feature,
        "before": change.before or None,
        "after": change.after or None,
    }


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()

"""Reading what entitlements are computed from: any number of a tenant's customers in one round trip."""

from collections.abc import Sequence
from typing import Any

import msgspec

from colonnade_tenants.entitlements.facts_statement import FACTS
from colonnade_tenants.entitlements.model import (
    Combination,
    Entitlement,
    Facts,
    Override,
    Plan,
    Policy,
    Subscription,
)
from colonnade_tenants.partition import TenantConnection


class Known(msgspec.Struct, frozen=True):
    """A customer's facts, its present rows by feature and time, and the number of its last change."""

    facts: Facts
    present: list[Entitlement]
    sequence: int


async def load(
    tenant: TenantConnection, customers: Sequence[int], *, prices: Sequence[str] = (), products: Sequence[str] = ()
) -> dict[int, Known]:
    """What is known of each of these customers; *prices* and *products*: whose plans are wanted besides."""
    row = await tenant.fetch_one(FACTS, customers=list(customers), prices=list(prices), products=list(products))
    found = dict(row or {})
    plans = tuple(_read(found["plans"], list[Plan]))
    policies = tuple(_read(found["policies"], list[Policy]))
    combinations = tuple(_read(found["combinations"], list[Combination]))
    subscribed = _read(found["subscriptions"], dict[int, list[Subscription]])
    decided = _read(found["overrides"], dict[int, list[Override]])
    present = _read(found["present"], dict[int, list[Entitlement]])
    sequences = _read(found["sequences"], dict[int, int])
    return {
        customer: Known(
            Facts(tuple(subscribed.get(customer, ())), plans, policies, tuple(decided.get(customer, ())), combinations),
            sorted(present.get(customer, ()), key=lambda row: (row.feature, row.valid_from)),
            sequences.get(customer, 0),
        )
        for customer in customers
    }


def _read(found: str | None, of: type[Any]) -> Any:
    return msgspec.json.decode(found, type=of) if found else of()

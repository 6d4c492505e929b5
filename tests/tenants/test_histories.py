"""Every order of a subscription's events, some of them twice, ends in the same rows."""

from itertools import permutations
from typing import Any

import pytest

from colonnade_tenants.events import Event
from tests.tenants.conftest import Tenant
from tests.tenants.payloads import START, changed, event, item, subscription

DAY = 86_400

INCOMPLETE = subscription("incomplete")
ACTIVE = subscription("active")
SEATS = subscription("active", item(quantity=3), item("2", "price_addon"))
DUE = SEATS | {"status": "past_due"}
INVOICED = DUE | {"schedule": "sub_sched_1"}
ENDED = DUE | {"status": "canceled", "ended_at": START + 4 * DAY}

HISTORIES: dict[str, list[Event]] = {
    "falls past due": [
        event("created", START, INCOMPLETE),
        changed(START, INCOMPLETE, ACTIVE),
        changed(START + DAY, ACTIVE, SEATS),
        changed(START + 2 * DAY, SEATS, DUE),
        changed(START + 3 * DAY, DUE, INVOICED),
    ],
    "ends": [
        event("created", START, INCOMPLETE),
        changed(START, INCOMPLETE, ACTIVE),
        changed(START + DAY, ACTIVE, SEATS),
        changed(START + 2 * DAY, SEATS, DUE),
        event("deleted", START + 4 * DAY, ENDED),
    ],
    "recovers": [
        event("created", START, ACTIVE),
        changed(START + DAY, ACTIVE, ACTIVE | {"status": "past_due"}),
        changed(START + 2 * DAY, ACTIVE | {"status": "past_due"}, ACTIVE),
        changed(START + 3 * DAY, ACTIVE, ACTIVE | {"status": "past_due"}),
        changed(START + 3 * DAY, ACTIVE | {"status": "past_due"}, DUE, "evt_same_second"),
    ],
}


STATUS = {"falls past due": "past_due", "ends": "canceled", "recovers": "past_due"}
STEP = {"falls past due": 1, "ends": 5, "recovers": 5}  # all 120 orders of one history, a fifth of the others'


def orders(events: list[Event]) -> list[list[Event]]:
    """Every order of *events*, each with two of them repeated somewhere."""
    return [[*order, order[n % 5], order[(n + 2) % 5]] for n, order in enumerate(permutations(events))]


@pytest.mark.slow
@pytest.mark.parametrize("name", HISTORIES)
async def test_every_order_of_a_history_ends_in_the_same_rows(mine: Tenant, name: str) -> None:
    ends = set()
    for order in orders(HISTORIES[name])[:: STEP[name]]:
        tenant = mine.sibling()
        await tenant.sell(flag_export=True, limit_projects=5, quantity_seats=1)
        await tenant.has_customer()
        await tenant.handle(*order)
        ends.add(repr(await end_state(tenant)))
        await tenant.check_history()
        assert tenant.stripe.asked == [], "these events decide by themselves"
    assert len(ends) == 1
    assert f"'status': '{STATUS[name]}'" in ends.pop()


async def end_state(tenant: Tenant) -> dict[str, Any]:
    """All rows but the history of what was believed in between, without what differs between tenants anyway."""
    surrogates = ("tenant_id", "id", "public_id", "customer_id", "created_at", "updated_at")
    tables = ("customers", "features", "plans", "plan_grants", "subscription_items", "entitlements")
    rows = {table: await tenant.rows(table, *surrogates) for table in tables}
    return rows | {"subscriptions": await tenant.rows("subscriptions", *surrogates)}

"""Every order in which the events of a history can arrive ends in the one true state."""

from collections.abc import Callable
from itertools import permutations

import pytest

from tests.convergence.crowd import Arrival, Crowd, at_once, one_by_one
from tests.convergence.deeds import ACCESS, BILLS, CUSTOMER, Deed, history
from tests.convergence.model import DAY
from tests.convergence.truth import expected, shown

Order = tuple[int, ...]
Arriving = Callable[[list[Order]], list[Arrival]]
A, C, B = ACCESS, CUSTOMER, BILLS

FOUR: dict[str, list[tuple[Deed, int]]] = {
    "comes back": [(A["starts"], 0), (A["three seats"], 0), (A["one seat"], 0), (A["three seats"], 0)],
    "comes back after a detour": [(A["starts"], 0), (A["three seats"], 0), (A["switches"], 0), (A["one seat"], 0)],
    "ends": [(A["starts"], 0), (A["falls past due"], DAY), (A["is paid"], 0), (A["is deleted"], 0)],
    "twelve items": [(A["starts"], 0), (A["twelve items"], 0), (A["cancels in the portal"], 0), (A["reactivates"], 5)],
    "customer": [(C["is renamed"], 0), (C["moves"], 0), (C["moves back"], 0), (C["is deleted"], 1)],
    "card": [(C["adds a card"], 0), (C["chooses a card"], 0), (C["card renewed"], 0), (C["removes the card"], 0)],
    "invoice": [(B["drafted"], 0), (B["amount changes"], 0), (B["finalised"], 0), (B["paid"], 0)],
    "schedule": [(A["starts"], 0), (B["deferred"], 0), (B["deferred otherwise"], 0), (B["released"], 0)],
    "tax id": [
        *((C["gives a tax id"], 0), (C["tax id verified"], 0), (C["tax id not verified"], 0)),
        (C["takes the tax id back"], 0),
    ],
}
SIX: dict[str, list[tuple[Deed, int]]] = {
    "a life": [
        *((A["starts incomplete"], 0), (A["is paid"], 0), (A["three seats"], DAY), (A["cancels in the portal"], DAY)),
        *((A["reactivates"], 0), (A["is deleted"], DAY)),
    ],
    "one second": [
        *((A["starts incomplete"], 0), (A["is paid"], 0), (A["three seats"], 0), (A["switches"], 0)),
        *((A["falls past due"], 0), (A["is paid"], 0)),
    ],
    "twice past due": [
        *((A["starts"], 0), (A["falls past due"], DAY), (A["is paid"], DAY), (A["falls past due"], DAY)),
        *((A["twelve items"], 0), (A["has a schedule"], 1)),
    ],
    "everybody deals with it": [
        *((A["starts a trial"], 0), (C["adds a card"], 0), (C["chooses a card"], 0), (B["drafted"], 0)),
        *((B["finalised"], 0), (B["paid"], 0)),
    ],
}


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize("arriving", [pytest.param(one_by_one, marks=pytest.mark.slow), at_once])
async def test_every_order_of_four_events_ends_in_the_true_state(tenants: Crowd, name: str, arriving: Arriving) -> None:
    await check(tenants, FOUR[name], arriving)


@pytest.mark.slow
@pytest.mark.timeout(600)  # 4,320 events each
@pytest.mark.parametrize(
    ("arriving", "name"), [*((one_by_one, name) for name in SIX), *((at_once, name) for name in list(SIX)[1::2])]
)
async def test_every_order_of_six_events_ends_in_the_true_state(tenants: Crowd, name: str, arriving: Arriving) -> None:
    await check(tenants, SIX[name], arriving)


async def check(tenants: Crowd, steps: list[tuple[Deed, int]], arriving: Arriving) -> None:
    stripe = history(*steps)
    assert len(stripe.events) == len(steps)
    orders = list(permutations(range(len(steps))))
    ends = await tenants.ends(stripe, arriving(orders))
    for order, end in zip(orders, ends, strict=True):
        assert shown(end) == expected(stripe), order
        assert end == ends[0], order

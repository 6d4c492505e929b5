"""What was sold: the plan that an item of a subscription means."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import lru_cache

from colonnade_tenants.entitlements.model import Item, Plan
from colonnade_tenants.entitlements.versions import windows

Window = tuple[Plan, datetime, datetime]
"""A version of a plan, and when it is in effect."""


class Sold:
    """Plans by what they are sold as. A price's plan comes before that of its product, as long as it holds."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        self._by_price: dict[str, list[Window]] = defaultdict(list)
        self._by_product: dict[str, list[Window]] = defaultdict(list)
        versions: dict[str, list[Plan]] = defaultdict(list)
        for plan in plans:
            versions[plan.key].append(plan)
        for of_plan in versions.values():
            for plan, start, end in windows(of_plan):
                if plan.price is not None:
                    self._by_price[plan.price].append((plan, start, end))
                elif plan.product is not None:
                    self._by_product[plan.product].append((plan, start, end))

    def plans_of(self, item: Item) -> Iterator[Window]:
        """The plan versions that an item of this price and product means, each with when; none overlap."""
        of_price = self._by_price.get(item.price, [])
        yield from of_price
        for plan, start, end in self._by_product.get(item.product, ()):
            for from_, until in _without((start, end), [(taken, to) for _, taken, to in of_price]):
                yield plan, from_, until


@lru_cache(maxsize=1_000)
def sold(plans: tuple[Plan, ...]) -> Sold:
    """These plans by what they are sold as: many customers have the same, and so has each event of one."""
    return Sold(plans)


def _without(
    whole: tuple[datetime, datetime], taken: Iterable[tuple[datetime, datetime]]
) -> Iterator[tuple[datetime, datetime]]:
    """What is left of an interval."""
    start, end = whole
    for from_, until in sorted(taken):
        if start < min(from_, end):
            yield start, min(from_, end)
        start = max(start, until)
    if start < end:
        yield start, end

"""Reading what customers' entitlements are computed from: a statement for each kind of row, however many customers."""

from collections.abc import Iterable, Sequence

from colonnade_tenants import subscriptions
from colonnade_tenants.entitlements import mirrored
from colonnade_tenants.entitlements.model import Facts, Override, Plan, Subscription
from colonnade_tenants.entitlements.terms import OVERRIDES, PLANS, TERMS, Terms
from colonnade_tenants.partition import TenantConnection
from colonnade_tenants.subscriptions.mirror import Subscriptions

_NO_TERMS = Terms((), ())


async def load(tenant: TenantConnection, customers: Sequence[int], *, sold_as: Iterable[str] = ()) -> dict[int, Facts]:
    """The facts of each of these customers. *sold_as*: prices and products whose plans are wanted besides."""
    subscribed = await tenant.load(subscriptions.OF_CUSTOMER, customers)
    decided = await tenant.load(OVERRIDES, customers)
    terms = await tenant.get(TERMS, 0) or _NO_TERMS
    mine = {customer: _subscriptions(found or {}) for customer, found in subscribed.items()}
    names = {customer: {*_sold(found), *sold_as} for customer, found in mine.items()}
    plans = await tenant.load(PLANS, sorted(set().union(*names.values())))
    return {
        customer: _facts(mine[customer], [plans[name] for name in sorted(names[customer])], terms, decided[customer])
        for customer in customers
    }


async def load_one(tenant: TenantConnection, customer: int) -> Facts:
    """The facts of this customer."""
    mine = _subscriptions(await tenant.get(subscriptions.OF_CUSTOMER, customer) or {})
    decided = await tenant.get(OVERRIDES, customer)
    terms = await tenant.get(TERMS, 0) or _NO_TERMS
    plans = await tenant.load(PLANS, sorted(_sold(mine)))
    return _facts(mine, plans.values(), terms, decided)


def _facts(
    mine: tuple[Subscription, ...],
    plans: Iterable[tuple[Plan, ...] | None],
    terms: Terms,
    decided: tuple[Override, ...] | None,
) -> Facts:
    """Each version of a plan once, by its name."""
    once = {(plan.key, plan.version): plan for found in plans for plan in found or ()}
    return Facts(mine, tuple(once.values()), terms.policies, decided or (), terms.combinations)


def _subscriptions(found: Subscriptions) -> tuple[Subscription, ...]:
    return tuple(
        [
            mirrored.subscription(name, each.held.facts, each.past_due.since, each.held.event)
            for name, each in sorted(found.items())
        ]
    )


def _sold(found: Iterable[Subscription]) -> set[str]:
    return {name for each in found for item in each.items for name in (item.price, item.product)}

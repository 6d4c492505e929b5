"""Reading what customers' entitlements are computed from: a statement for each kind of row, however many customers."""

from collections.abc import Iterable, Sequence

from colonnade_tenants import subscriptions
from colonnade_tenants.entitlements import mirrored
from colonnade_tenants.entitlements.model import Facts, Plan, Subscription
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
        customer: Facts(
            mine[customer],
            _once(plan for name in sorted(names[customer]) for plan in plans[name] or ()),
            terms.policies,
            decided[customer] or (),
            terms.combinations,
        )
        for customer in customers
    }


def _once(plans: Iterable[Plan]) -> tuple[Plan, ...]:
    """Each version once; by name, as hashing whole versions costs more than computing from them."""
    return tuple({(plan.key, plan.version): plan for plan in plans}.values())


def _subscriptions(found: Subscriptions) -> tuple[Subscription, ...]:
    return tuple(
        mirrored.subscription(name, each.held.facts, each.past_due.since, each.held.event)
        for name, each in sorted(found.items())
    )


def _sold(found: Iterable[Subscription]) -> set[str]:
    return {name for each in found for item in each.items for name in (item.price, item.product)}

"""Taking over the features that a tenant configured at Stripe, as flags, and what its products have as plans.

What is here already is added to, never taken from: ours decide.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from colonnade_tenants import values
from colonnade_tenants.catalogue import Feature, Grant, Plan
from colonnade_tenants.errors import Invalid

Action = Literal["create", "add", "same", "skip"]


class Product(Struct, frozen=True):
    """A product at Stripe, and the names of its features by lookup key."""

    id: str
    name: str
    features: Mapping[str, str]


class Step(Struct):
    """What is to be done with a feature or a plan here. *of* is Stripe's lookup key or product.

    `create`: it is new; `add`: *grants* are added; `same`: nothing is to be done; `skip`: nothing can be, see *detail*.
    """

    of: str
    key: str | None
    action: Action
    detail: str | None = None
    grants: list[str] = []


class Report(Struct):
    """What taking over does, or would do."""

    dry_run: bool
    features: list[Step]
    plans: list[Step]


class Changes(Struct):
    """What is to be put here, and the report of it."""

    report: Report
    features: list[Feature]
    plans: list[Plan]


def changes(
    products: Sequence[Product], features: Collection[Feature], plans: Collection[Plan], prefix: str, *, dry_run: bool
) -> Changes:
    """What *products* make of the tenant's *features* and *plans*. Our key is the lookup key without *prefix*."""
    known = {feature.key: feature for feature in features}
    result = Changes(Report(dry_run, [], []), [], [])
    granted: dict[str, str] = {}
    names = {key: name for product in products for key, name in product.features.items()}
    for lookup_key, name in sorted(names.items()):
        step, new = _feature(lookup_key, name, known, prefix)
        result.report.features.append(step)
        if new is not None:
            result.features.append(new)
        if step.key is not None and step.action != "skip":
            granted[lookup_key] = step.key
    taken = {plan.key for plan in plans}
    by_product = {plan.product: plan for plan in plans if plan.product is not None}
    for product in products:
        keys = sorted(granted[each] for each in product.features if each in granted)
        step, plan = _plan(product, keys, by_product.get(product.id), taken)
        result.report.plans.append(step)
        if plan is not None:
            taken.add(plan.key)
            result.plans.append(plan)
    return result


def _feature(lookup_key: str, name: str, known: Mapping[str, Feature], prefix: str) -> tuple[Step, Feature | None]:
    if not lookup_key.startswith(prefix):
        return Step(lookup_key, None, "skip", f"It does not begin with {prefix!r}."), None
    key = lookup_key.removeprefix(prefix)
    here = known.get(key)
    if here is not None:
        if here.kind != "flag":
            return Step(lookup_key, key, "skip", f"It is a {here.kind} here: Stripe does not say how much."), None
        return Step(lookup_key, key, "same"), None
    try:
        values.key(key)
        values.text(name, "name", 200)
    except Invalid as error:
        return Step(lookup_key, None, "skip", error.message), None
    return Step(lookup_key, key, "create"), Feature(key, "flag", name)


def _plan(product: Product, keys: list[str], here: Plan | None, taken: Collection[str]) -> tuple[Step, Plan | None]:
    if here is not None:
        missing = [key for key in keys if key not in {grant.feature for grant in here.grants}]
        if not missing:
            return Step(product.id, here.key, "same"), None
        more = [*here.grants, *(Grant(key, True) for key in missing)]
        added = Plan(here.key, here.name, here.price, here.product, more)
        return Step(product.id, here.key, "add", grants=missing), added
    if not keys:
        return Step(product.id, None, "skip", "None of its features can be granted here."), None
    key = plan_key(product, taken)
    plan = Plan(key, product.name[:200], None, product.id, [Grant(each, True) for each in keys])
    return Step(product.id, key, "create", grants=keys), plan


def plan_key(product: Product, taken: Collection[str]) -> str:
    """A key for the product's plan that is not *taken*: made of its name, else of its id, else numbered."""
    for text in (product.name, product.id):
        key = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60].strip("-")
        if key and key not in taken:
            return key
    base = re.sub(r"[^a-z0-9]+", "-", product.id.lower()).strip("-")[:50] or "product"
    return next(f"{base}-{number}" for number in range(2, len(taken) + 3) if f"{base}-{number}" not in taken)

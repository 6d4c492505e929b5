"""What entitlements are computed from, and what comes out: plain values without behaviour.

What is versioned (plans, policies, rules of features) lists its versions, each with the moment from which it holds. In
effect at a moment is the highest version that has begun by then, so that a later word takes the place of an earlier one
about the same time, and no version reaches back before its own *since*.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

Kind = Literal["flag", "limit", "quantity"]
Rule = Literal["or", "max", "sum"]
Effect = Literal["grant", "set", "deny"]
Paused = Literal["grants", "suspends"]

RULES: dict[Kind, tuple[Rule, ...]] = {"flag": ("or",), "limit": ("max", "sum"), "quantity": ("sum", "max")}
"""How several grants of one feature may combine, by its kind; the first is the default."""

LARGEST = 2**53 - 1
"""The largest value: JSON readers that know no integers keep it exact."""

ALWAYS = datetime.min.replace(tzinfo=UTC)
FOREVER = datetime.max.replace(tzinfo=UTC)


class Item(msgspec.Struct, frozen=True):
    """One item of a subscription (`si_…`), and when the subscription has it: one to come has its schedule's name."""

    id: str
    price: str
    product: str
    quantity: int
    current_period_end: datetime = FOREVER
    since: datetime = ALWAYS
    until: datetime = FOREVER


class Pending(msgspec.Struct, frozen=True):
    """What a schedule (`sub_sched_…`) will make of a subscription's items."""

    schedule: str
    at: datetime
    items: tuple[Item, ...]


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """What entitlements depend on in a subscription.

    *past_due_since* is set while it is `past_due`, *pause_behavior* while `pause_collection` is; *event* is the one
    that all this is from.
    """

    id: str = ""
    status: str
    started_at: datetime
    cancel_at: datetime | None = None
    cancel_at_period_end: bool = False
    ended_at: datetime | None = None
    trial_end: datetime | None = None
    past_due_since: datetime | None = None
    pause_behavior: str | None = None
    pause_resumes_at: datetime | None = None
    items: tuple[Item, ...]
    pending: Pending | None = None
    event: str | None = None


class Grant(msgspec.Struct, frozen=True):
    """*value* is 1 for a flag and None for no limit; *per_unit* multiplies it by the item's quantity."""

    feature: str
    kind: Kind
    value: int | None
    per_unit: bool = False


class Plan(msgspec.Struct, frozen=True):
    """One version of what a price or a product grants; with neither, the plan was deleted."""

    key: str
    price: str | None
    product: str | None
    grants: tuple[Grant, ...]
    version: int = 1
    since: datetime = ALWAYS


class Policy(msgspec.Struct, frozen=True):
    """One version of what a tenant takes Stripe's statuses to mean.

    *grace*: how long a subscription that became `past_due` while this was in effect goes on granting; None: until
    Stripe gives up on it. *trials*: whether `trialing` grants. *paused*: what `pause_collection` does to access.
    """

    grace: timedelta | None = timedelta(days=7)
    trials: bool = True
    paused: Paused = "grants"
    version: int = 0
    since: datetime = ALWAYS


class Override(msgspec.Struct, frozen=True):
    """What was decided for one customer by hand, in [*start*, *end*).

    *grant* counts as one grant more, *set* instead of all grants, *deny* against everything.
    """

    id: str
    feature: str
    kind: Kind
    effect: Effect
    value: int | None
    start: datetime
    end: datetime = FOREVER


class Combination(msgspec.Struct, frozen=True):
    """One version of how several grants of a feature combine."""

    feature: str
    rule: Rule
    version: int = 1
    since: datetime = ALWAYS


class Facts(msgspec.Struct, frozen=True):
    """Everything that one customer's entitlements are a function of. Any order will do."""

    subscriptions: tuple[Subscription, ...] = ()
    plans: tuple[Plan, ...] = ()
    policies: tuple[Policy, ...] = ()
    overrides: tuple[Override, ...] = ()
    combinations: tuple[Combination, ...] = ()


class Entitlement(msgspec.Struct, frozen=True):
    """A feature's value in [*valid_from*, *valid_until*), and what it comes from: items (`si_…`), overrides (`ovr_…`).

    *valid_until* is None where no end is known; *value* is 1 for a flag, None for no limit, 0 for what was denied.
    """

    feature: str
    kind: Kind
    value: int | None
    valid_from: datetime
    valid_until: datetime | None
    sources: tuple[str, ...]

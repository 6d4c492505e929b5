"""A tenant's policy: what it takes Stripe's statuses to mean for access."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants import locks
from colonnade_tenants.catalogue.affected import Rest, Scope, recompute_first
from colonnade_tenants.entitlements.model import Paused
from colonnade_tenants.errors import Invalid
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import entitlement_policies
from colonnade_tenants.times import require_moment

MOST_GRACE = 365
UNTIL_GIVEN_UP: Literal["until_stripe_gives_up"] = "until_stripe_gives_up"


class Policy(msgspec.Struct, frozen=True):
    """*grace* is in days, counted from when a subscription became `past_due`, by the policy that held then.

    `until_stripe_gives_up`: as long as it is `past_due`. *trials*: whether `trialing` grants. *pause_collection*:
    whether one whose collection is paused `grants` or `suspends`. *version* 0 is the policy of who never put one.
    """

    grace: int | Literal["until_stripe_gives_up"] = 7
    trials: bool = True
    pause_collection: Paused = "grants"
    version: int = 0
    effective_from: datetime | None = None


class PutPolicy(msgspec.Struct, frozen=True):
    """What putting a policy did; *rest*: the customers whose entitlements are still to be recomputed."""

    policy: Policy
    rest: Rest | None = None


_TERMS = ("grace", "trials", "pause_collection")


async def get_policy(session: TenantSession) -> Policy:
    """The last word, though it may not hold yet."""
    return (await list_policies(session))[0]


async def list_policies(session: TenantSession) -> list[Policy]:
    """All versions, the newest first; the last is what held before any."""
    columns = [entitlement_policies.c[name] for name in ("grace_days", *_TERMS[1:], "version", "effective_from")]
    found = select(*columns).where(entitlement_policies.c.tenant_id == TENANT)
    rows = await session.execute(found.order_by(entitlement_policies.c.version.desc()))
    return [*map(_policy, rows), Policy()]


async def put_policy(session: TenantSession, policy: Policy, author: str | None = None) -> PutPolicy:
    """Let another policy hold from its *effective_from*, or now. Raises `Invalid`."""
    _validate(policy)
    now = await locks.change_catalogue(await session.twin())
    if policy.effective_from is not None and require_moment(policy.effective_from, "effective_from") < now:
        raise Invalid("A change takes effect now or later: it does not rewrite the past.", "effective_from")
    since = policy.effective_from or now
    last = await get_policy(session)
    begun = last.effective_from is None or last.effective_from <= since
    if begun and all(getattr(last, name) == getattr(policy, name) for name in _TERMS):
        return PutPolicy(last)
    new = msgspec.structs.replace(policy, version=last.version + 1, effective_from=since)
    await session.execute(
        insert(entitlement_policies).values(
            tenant_id=TENANT,
            version=new.version,
            effective_from=since,
            grace_days=None if isinstance(new.grace, str) else new.grace,
            trials=new.trials,
            pause_collection=new.pause_collection,
            author=author,
        )
    )
    return PutPolicy(new, await recompute_first(session, Scope(standing=True), f"policy@{new.version}"))


def _policy(row: Any) -> Policy:
    grace = UNTIL_GIVEN_UP if row.grace_days is None else row.grace_days
    return Policy(grace, row.trials, row.pause_collection, row.version, row.effective_from)


def _validate(policy: Policy) -> None:
    days = policy.grace
    if isinstance(days, str):
        if days != UNTIL_GIVEN_UP:
            raise Invalid(f"Grace is a number of days, or {UNTIL_GIVEN_UP!r}.", "grace")
    elif type(days) is not int or not 0 <= days <= MOST_GRACE:
        raise Invalid(f"Grace is 0 to {MOST_GRACE} days, or {UNTIL_GIVEN_UP!r}.", "grace")

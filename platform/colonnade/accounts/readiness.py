"""What a tenant's account may do, and what is still due, in words."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.errors import NotFound, StripeRefused
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of

State = Literal["onboarding", "ready", "restricted_soon", "restricted", "rejected", "disconnected"]


class Requirement(Struct):
    """One thing that Stripe still wants: its name at Stripe, in words, and how urgent."""

    requirement: str
    words: str
    due: Literal["past_due", "currently_due", "eventually_due"]


class Readiness(Struct):
    """*state* in one word, Stripe's own switches, and *requirements*, the most urgent first."""

    state: State
    charges_enabled: bool
    payouts_enabled: bool
    details_submitted: bool
    disabled_reason: str | None
    requirements: list[Requirement]
    events_complete_until: datetime | None = None
    """No event of the tenant's is missing up to then, by Stripe's clock; null: no sweep has looked yet."""


# The accounts that a tenant's events come from: its own and, unless it charges directly, the platform's.
_COMPLETE = """
select min(complete_until) from sweeps
where account = any ($1) having count(*) = cardinality($1)
"""


async def readiness(services: Services, tenant: Tenant) -> Readiness:
    """The account's state as Stripe has it now. Raises Stripe's errors."""
    try:
        account = await services.stripe.platform.bound(tenant=tenant.id).get(f"/v1/accounts/{account_of(tenant)}")
    except (NotFound, StripeRefused):
        return Readiness("disconnected", False, False, False, None, [])
    found = assess(account)
    found.events_complete_until = await _complete_until(services, tenant)
    return found


async def _complete_until(services: Services, tenant: Tenant) -> datetime | None:
    sources = [account_of(tenant), *([] if tenant.charge_type == "direct" else [""])]
    async with services.database.platform_pool.acquire() as connection:
        at: datetime | None = await connection.fetchval(_COMPLETE, sources)
    return at


def assess(account: dict[str, Any]) -> Readiness:
    """The readiness of an account object of Stripe's."""
    due = account.get("requirements") or {}
    return Readiness(
        state=_state(account, due),
        charges_enabled=bool(account.get("charges_enabled")),
        payouts_enabled=bool(account.get("payouts_enabled")),
        details_submitted=bool(account.get("details_submitted")),
        disabled_reason=due.get("disabled_reason"),
        requirements=_requirements(due),
    )


def _state(account: dict[str, Any], due: dict[str, Any]) -> State:
    reason = due.get("disabled_reason") or ""
    if reason.startswith("rejected."):
        return "rejected"
    if not account.get("details_submitted"):
        return "onboarding"
    # A merchant of record needs card_payments: without it no charge can be made on behalf of the account.
    cards = (account.get("capabilities") or {}).get("card_payments") == "active"
    if reason or due.get("past_due") or not account.get("charges_enabled") or not cards:
        return "restricted"
    return "restricted_soon" if due.get("currently_due") else "ready"


def _requirements(due: dict[str, Any]) -> list[Requirement]:
    found: dict[str, Requirement] = {}
    for urgency in ("past_due", "currently_due", "eventually_due"):
        for name in due.get(urgency) or ():
            found.setdefault(name, Requirement(name, _words(name), urgency))
    return list(found.values())


def _words(requirement: str) -> str:
    """`business_profile.support_phone` as "Business profile: support phone"."""
    *path, last = requirement.split(".")
    parts = [part.replace("_", " ") for part in path if not part.startswith("person_")]
    words = ": ".join([*parts, last.replace("_", " ")])
    return words[:1].upper() + words[1:]

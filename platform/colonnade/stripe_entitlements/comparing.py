"""Where Stripe's active entitlements and ours differ, and why."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.entitlements.explaining import FeatureExplanation, explain_customer
from colonnade.errors import Conflict
from colonnade.services import Services
from colonnade.stripe_api.charges import client_for
from colonnade_tenants import customers
from colonnade_tenants.billing.stripe_entitlements import Active, active, mirrored
from colonnade_tenants.customers import Customer
from colonnade_tenants.entitlements.explain import Idle
from colonnade_tenants.entitlements.reasons import Reason
from colonnade_tenants.partition import TenantSession

DETAILS = {
    "other_prefix": "its lookup key has not the prefix of this tenant's",
    "unknown_feature": "we have no such feature",
    "override": "an override decides it here",
    "no_plan": "no plan here is sold as what the customer has",
    "not_in_plan": "the plans that the customer has do not grant it here",
    "status": "the subscription's status does not grant here",
    "not_begun": "the subscription has not begun",
    "ended": "the subscription has ended, or the event that says otherwise did not arrive yet",
    "grace_ended": "past due for longer than the grace period here",
    "trial": "trials do not grant here",
    "collection_paused": "paused collection does not grant here",
    "fallback": "here everybody has it, by the feature's fallback",
    "grace": "past due, and within the grace period here",
    "plan": "our plan grants it; Stripe's product does not, or not before its next period",
}
"""Each reason in words."""


class Difference(Struct):
    """A feature that one side takes for granted. *reason* is a word, *detail* the same as a sentence."""

    lookup_key: str
    feature: str | None
    stripe: bool
    ours: bool
    reason: str
    detail: str
    because: list[Reason] = []
    idle: list[Idle] = []


class Comparison(Struct):
    """A customer's active entitlements at Stripe against ours.

    *basis*: `summary`, the last that an event told; `read`, just asked; null: no event told yet, nothing to compare.
    """

    customer: str
    reference: str | None
    stripe_customer: str | None
    basis: Literal["summary", "read"] | None
    as_of: datetime | None
    stripe: list[str]
    differences: list[Difference]


async def compare_customer(
    services: Services, tenant: Tenant, reference: str, *, prefix: str = "", read: bool = False
) -> Comparison:
    """Compare with the last summary, or, where *read*, with what Stripe says now.

    Raises `NotFound`, `Conflict` for a customer that Stripe does not have yet, Stripe's errors.
    """
    async with services.database.tenant(tenant.id) as session:
        customer = await customers.get(session, reference)
    return await compare(services, tenant, customer, prefix=prefix, read=read)


async def compare(services: Services, tenant: Tenant, customer: Customer, *, prefix: str, read: bool) -> Comparison:
    """As `compare_customer`, of a customer that has been found."""
    asked: Active | None = None
    if read:
        if customer.stripe_customer is None:
            raise Conflict("Stripe does not have this customer yet.", "reference")
        asked = await active(client_for(services.stripe, tenant), customer.stripe_customer)
    async with services.database.tenant(tenant.id) as session:
        said = await mirrored(await session.twin(), customer.id)
        result = Comparison(customer.public_id, customer.reference, customer.stripe_customer, None, None, [], [])
        if asked is None and said is None:
            return result
        theirs, at = (asked, None) if asked is not None else said or (Active(()), None)
        result.basis, result.as_of = ("summary", at) if asked is None else ("read", None)
        result.stripe = list(theirs.lookup_keys)
        result.differences = await _differences(session, customer, result.stripe, prefix)
        return result


async def _differences(
    session: TenantSession, customer: Customer, lookup_keys: Iterable[str], prefix: str
) -> list[Difference]:
    explained = await explain_customer(session, customer.id, feature=None, at=None, corrected_=False)
    ours = {each.feature: each for each in explained.data}
    return differences(lookup_keys, ours, prefix)


def differences(lookup_keys: Iterable[str], ours: dict[str, FeatureExplanation], prefix: str) -> list[Difference]:
    """By lookup key. Our feature is called as Stripe's, without *prefix*."""
    theirs = set(lookup_keys)
    wanted = theirs | {prefix + each.feature for each in ours.values() if each.granted}
    return [
        found
        for lookup_key in sorted(wanted)
        if (found := _difference(lookup_key, lookup_key in theirs, ours, prefix)) is not None
    ]


def _difference(lookup_key: str, stripe: bool, ours: dict[str, FeatureExplanation], prefix: str) -> Difference | None:
    feature = ours.get(lookup_key.removeprefix(prefix)) if lookup_key.startswith(prefix) else None
    granted = feature is not None and feature.granted
    if granted == stripe:
        return None
    if feature is None:
        reason = "unknown_feature" if lookup_key.startswith(prefix) else "other_prefix"
        return Difference(lookup_key, None, stripe, False, reason, DETAILS[reason])
    reason = _why_granted(feature) if granted else _why_not(feature)
    return Difference(
        lookup_key, feature.feature, stripe, granted, reason, DETAILS[reason], feature.because, feature.idle
    )


def _why_granted(feature: FeatureExplanation) -> str:
    if feature.fallback:
        return "fallback"
    rules = {each.rule for each in feature.because}
    return next((rule for rule in ("override", "grace") if rules == {rule}), "plan")


def _why_not(feature: FeatureExplanation) -> str:
    if any(each.rule == "override" for each in feature.because):
        return "override"
    reasons = [each.why for each in feature.idle]
    return next((why for why in reasons if why != "no_plan"), "no_plan" if reasons else "not_in_plan")

"""Running the preflight: on what the events told where that is enough, else on what Stripe says now.

A flow that the mirror knows nothing against goes ahead, unless it turns on something that the mirror does not keep.
Nobody is turned away on the mirror's word alone: it may be a moment behind.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from colonnade.access.guard import Tenant
from colonnade.errors import NotFound
from colonnade.portals import activity, at_stripe, preflight
from colonnade.portals.choosing import Chosen, Customer
from colonnade.portals.facts import Facts, Offered, Subscription
from colonnade.portals.flows import AnyFlow
from colonnade.portals.offers import offers
from colonnade.portals.preflight import Action, flow_type
from colonnade.portals.reasons import Reason, reason
from colonnade.services import Services
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.charges import ChargeType, account_of, client_for
from colonnade_tenants.portal import state

_MIRROR_KNOWS = frozenset({"subscription_cancel"})


class SubscriptionView(Struct):
    """One subscription in the portal: *actions* that are possible, and for each other one why it is not.

    *visible* is false where the portal does not show it at all. *offers* is what its update page would list.
    """

    id: str
    status: str
    visible: bool
    actions: list[Action]
    blocked: dict[Action, list[Reason]]
    offers: list[Offered]
    notes: list[Reason]


class FlowView(Struct):
    """Whether the flow's step is there for the customer; *reasons* say why not."""

    type: str
    ready: bool
    reasons: list[Reason]


class Preview(Struct):
    """What a session would lead to. *features*: what the configuration switches on. *reasons*: why none would open."""

    configuration: str
    chosen_by: str
    rule: dict[str, Any] | None
    flow: FlowView | None
    subscriptions: list[SubscriptionView]
    features: list[str]
    reasons: list[Reason]


async def preview(
    services: Services, tenant: Tenant, customer: Customer, chosen: Chosen, flow: AnyFlow | None
) -> Preview:
    """What the customer would find, as Stripe says it now. Raises `NotFound`, `StripeUnavailable`."""
    facts = await _at_stripe(services, tenant, customer, chosen)
    if not await activity.is_active(services, tenant, chosen):
        inactive = reason(activity.INACTIVE, configuration=chosen.name)
        facts = msgspec.structs.replace(facts, closed=[inactive])
    reasons = preflight.blocked(facts, flow) if flow else []
    features = chosen.settings.features
    return Preview(
        configuration=chosen.name,
        chosen_by=chosen.by,
        rule=msgspec.to_builtins(chosen.rule) if chosen.rule else None,
        flow=FlowView(flow_type(flow), not reasons, reasons) if flow else None,
        subscriptions=[_shown(facts, each) for each in facts.subscriptions if each.status not in preflight.ENDED],
        features=[name for name in features.__struct_fields__ if getattr(features, name).enabled],
        reasons=[*facts.closed],
    )


async def flow_blocked(
    services: Services, tenant: Tenant, customer: Customer, chosen: Chosen, flow: AnyFlow
) -> Sequence[Reason]:
    """Why the flow would be a dead end. Raises `NotFound` for a subscription that is not the customer's."""
    subscription: str | None = getattr(flow, "subscription", None)
    if subscription is None:
        return preflight.blocked(Facts(chosen.settings, (), ()), flow)
    if flow_type(flow) in _MIRROR_KNOWS:
        known = await _mirrored(services, tenant, customer)
        if not preflight.blocked(Facts(chosen.settings, (), known), flow):
            return []
    facts = await _at_stripe(services, tenant, customer, chosen)
    if all(each.id != subscription for each in facts.subscriptions):
        raise NotFound(f"This customer has no subscription {subscription!r}.", "flow.subscription")
    return preflight.blocked(facts, flow)


async def _mirrored(services: Services, tenant: Tenant, customer: Customer) -> list[Subscription]:
    async with services.database.tenant_connection(tenant.id) as connection:
        found = await state.now(connection, customer.id)
    return at_stripe.mirrored(found.subscriptions, _merchant(tenant))


async def _at_stripe(services: Services, tenant: Tenant, customer: Customer, chosen: Chosen) -> Facts:
    client = client_for(services.stripe, tenant, Priority.PORTAL)
    merchant = _merchant(tenant)
    found = await at_stripe.subscriptions(client, customer.stripe_customer or "", merchant)
    now = {each.id for each in found}
    # Stripe's list leaves out those that have ended; so have those that only the mirror knows.
    for each in await _mirrored(services, tenant, customer):
        if each.id not in now:
            found.append(msgspec.structs.replace(each, status="canceled"))
    products = chosen.settings.features.subscription_update.products
    if not chosen.settings.features.subscription_update.enabled:
        return Facts(chosen.settings, (), found)
    async with services.database.tenant(tenant.id) as session:
        listed = await offers(session, products)
    return Facts(chosen.settings, listed, found, await at_stripe.prices(client, listed, found))


def _merchant(tenant: Tenant) -> str | None:
    """The account that the portal filters by; none with direct charges, whose customers have nothing else."""
    return None if tenant.charge_type is ChargeType.DIRECT else account_of(tenant)


def _shown(facts: Facts, found: Subscription) -> SubscriptionView:
    results = preflight.actions(facts, found)
    enabled = facts.settings.features.subscription_update.enabled
    return SubscriptionView(
        id=found.id,
        status=found.status,
        visible=found.visible,
        actions=[name for name, reasons in results.items() if not reasons],
        blocked={name: reasons for name, reasons in results.items() if reasons},
        offers=preflight.offered(facts, found) if enabled and found.visible else [],
        notes=_notes(facts, found),
    )


def _notes(facts: Facts, found: Subscription) -> list[Reason]:
    """What stands in no action's way, and yet is worth knowing."""
    notes = [] if found.payable else [reason("no_payment_method")]
    listed = {price for offer in facts.offers for price in offer.prices}
    if facts.settings.features.subscription_update.enabled:
        notes += [reason("current_price_not_offered") for item in found.items[:1] if item.price not in listed]
    return notes

"""Why a customer may do what: now, as was believed at a past moment, as is known of it by now, and in future."""

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct
from sqlalchemy import func, select

from colonnade.access.guard import Tenant
from colonnade.accounts.states import CLOSED, sentence
from colonnade.entitlements.corrected import corrected
from colonnade.errors import Invalid, NotFound
from colonnade.services import Services
from colonnade_tenants.catalogue import features
from colonnade_tenants.entitlements import history
from colonnade_tenants.entitlements.explain import Explained, Idle, explain, remembered
from colonnade_tenants.entitlements.facts import load
from colonnade_tenants.entitlements.foresee import foresee
from colonnade_tenants.entitlements.history import Recorded
from colonnade_tenants.entitlements.model import Facts, Kind, Rule
from colonnade_tenants.entitlements.pending import pending_changes, with_pending
from colonnade_tenants.entitlements.reasons import Reason
from colonnade_tenants.partition import TENANT, TenantSession

Basis = Literal["now", "believed", "corrected", "foreseen"]


class LastChange(Struct):
    """The change of the feature that what is shown goes back to."""

    sequence: int
    cause: str
    recorded_at: datetime


class FeatureExplanation(Struct):
    """A feature's value at the moment, in [*valid_from*, *valid_until*), and why.

    *because* decides; *combine* says how several of them gave one value. *overruled* would count without an override,
    or were the tenant not closed. *idle* are the customer's items that give nothing, with why. *fallback*: nothing
    grants any, and the value is the feature's fallback.
    """

    feature: str
    kind: Kind
    unit: str | None
    granted: bool
    value: bool | int | None
    valid_from: datetime | None
    valid_until: datetime | None
    fallback: bool
    combine: Rule | None
    because: list[Reason]
    overruled: list[Reason]
    idle: list[Idle]
    last_change: LastChange | None


class Explanation(Struct):
    """What holds at *at*, by feature.

    *basis*: `now`; `believed`, what was recorded then; `corrected`, what is known by now to have been true then;
    `foreseen`, what will hold if nothing changes. *unknown*: subscriptions whose events of then we do not have.
    *closed*: that the tenant is closed, in words, where its checks therefore deny everything.
    """

    at: datetime
    basis: Basis
    data: list[FeatureExplanation]
    unknown: list[str] = []
    closed: str | None = None


async def explain_customer(
    session: TenantSession, customer_id: int, *, feature: str | None, at: datetime | None, corrected_: bool
) -> Explanation:
    """Raises `Invalid`, and `NotFound` for a feature that the tenant does not have."""
    now: datetime = await session.scalar(select(func.now()).where(TENANT == TENANT))
    at = at or now
    if corrected_ and at >= now:
        raise Invalid("Only the past can be corrected: give a past `at`.", "corrected")
    basis: Basis = "foreseen" if at > now else "now" if at == now else "corrected" if corrected_ else "believed"
    meant = [each for each in await features.meant_at(session, at) if feature in (None, each.key)]
    if feature is not None and not meant:
        raise NotFound(f"There is no feature {feature!r}.", "feature")
    changes = {each.feature: each for each in await history.believed(session, customer_id, at)}
    unknown: list[str] = []
    if basis == "believed":
        found = {each.key: remembered(changes.get(each.key), at) for each in meant}
    else:
        facts, unknown = await _facts(session, customer_id, basis, at)
        found = explain(facts, [each.key for each in meant], at)
    return Explanation(at, basis, [_shown(each, found[each.key], changes.get(each.key)) for each in meant], unknown)


def as_denied(found: Explanation, tenant: Tenant) -> Explanation:
    """What checks say while they deny: nothing is granted, and what would decide is overruled by the closure."""
    data = [
        msgspec.structs.replace(
            each,
            granted=False,
            value=False if each.kind == "flag" else 0,
            fallback=False,
            because=[],
            overruled=[*each.because, *each.overruled],
            valid_from=None,
            valid_until=None,
        )
        for each in found.data
    ]
    return msgspec.structs.replace(found, data=data, closed=sentence(tenant.state, tenant.state_reason))


async def denies(services: Services, tenant: Tenant) -> bool:
    """Whether checks deny everything, because the tenant is closed."""
    if tenant.state not in CLOSED:
        return False
    async with services.database.platform_pool.acquire() as connection:
        return await connection.fetchval("select closed_checks = 'deny' from tenants where id = $1", tenant.id) is True


async def _facts(session: TenantSession, customer_id: int, basis: Basis, at: datetime) -> tuple[Facts, list[str]]:
    tenant = await session.twin()
    facts = (await load(tenant, [customer_id]))[customer_id]
    if basis == "corrected":
        return await corrected(session, facts, at)
    if basis == "foreseen":
        pending = await pending_changes(session, [subscription.id for subscription in facts.subscriptions])
        sold_as = {name for each in pending.values() for item in each.items for name in (item.price, item.product)}
        facts = (await load(tenant, [customer_id], sold_as=sold_as))[customer_id]
        expected = tuple(with_pending(subscription, pending) for subscription in facts.subscriptions)
        return foresee(msgspec.structs.replace(facts, subscriptions=expected)), []
    return facts, []


def _shown(feature: features.Feature, found: Explained, change: Recorded | None) -> FeatureExplanation:
    row = found.row
    value: int | None = int(feature.fallback) if row is None else row.value
    granted = value is None or value > 0
    return FeatureExplanation(
        feature=feature.key,
        kind=feature.kind,
        unit=feature.unit,
        granted=granted,
        value=granted if feature.kind == "flag" else value,
        valid_from=row.valid_from if row else None,
        valid_until=row.valid_until if row else None,
        fallback=row is None and granted,
        combine=found.rule,
        because=found.because,
        overruled=found.overruled,
        idle=found.idle,
        last_change=LastChange(change.sequence, change.cause, change.recorded_at) if change else None,
    )

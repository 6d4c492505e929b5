"""The statement that reads what entitlements are computed from."""

from typing import Any

from sqlalchemy import ARRAY, BigInteger, FromClause, Text, bindparam, case, cast, func, literal_column, or_, select

from colonnade_tenants.entitlements.model import ALWAYS, FOREVER, RULES
from colonnade_tenants.partition import TENANT, Statement
from colonnade_tenants.tables import (
    entitlement_changes,
    entitlement_overrides,
    entitlement_policies,
    entitlements,
    feature_versions,
    plan_versions,
    subscription_items,
    subscriptions,
)

# Not as arguments: asyncpg takes the ends of what Python can tell for infinity.
_ALWAYS: Any = literal_column(f"timestamptz '{ALWAYS.isoformat()}'")
_FOREVER: Any = literal_column(f"timestamptz '{FOREVER.isoformat()}'")
_CUSTOMERS: Any = func.any(bindparam("customers", type_=ARRAY(BigInteger)))
_PRICES: Any = func.any(bindparam("prices", type_=ARRAY(Text)))
_PRODUCTS: Any = func.any(bindparam("products", type_=ARRAY(Text)))


def _list(rows: FromClause, name: str) -> Any:
    # As text: SQLAlchemy's connections decode JSON, asyncpg's own do not.
    return select(cast(func.json_agg(literal_column(name)), Text)).select_from(rows).scalar_subquery().label(name)


def _by_customer(rows: Any, name: str) -> Any:
    """Rows with a `customer_id`, as JSON lists by customer."""
    each = rows.subquery("each")
    lists = select(each.c.customer_id, func.json_agg(literal_column("each")).label("rows")).group_by(each.c.customer_id)
    of = lists.subquery("lists")
    found = select(cast(func.json_object_agg(of.c.customer_id, of.c.rows), Text)).select_from(of)
    return found.scalar_subquery().label(name)


_TAKEN = (
    select(
        subscription_items.c.subscription,
        subscription_items.c.id,
        subscription_items.c.price,
        subscription_items.c.product,
        subscription_items.c.quantity,
        subscription_items.c.current_period_end,
    )
    .where(
        subscription_items.c.tenant_id == TENANT,
        subscription_items.c.subscription.in_(
            select(subscriptions.c.id).where(
                subscriptions.c.tenant_id == TENANT, subscriptions.c.customer_id == _CUSTOMERS
            )
        ),
    )
    .cte("items")
)
_SUBSCRIPTIONS = select(
    subscriptions.c.customer_id,
    subscriptions.c.id,
    subscriptions.c.status,
    subscriptions.c.started_at,
    subscriptions.c.cancel_at,
    subscriptions.c.cancel_at_period_end,
    subscriptions.c.ended_at,
    subscriptions.c.trial_end,
    subscriptions.c.past_due_since,
    subscriptions.c.pause_behavior,
    subscriptions.c.pause_resumes_at,
    subscriptions.c.source_event.label("event"),
    func.coalesce(
        select(func.json_agg(literal_column("items")))
        .select_from(_TAKEN)
        .where(_TAKEN.c.subscription == subscriptions.c.id)
        .scalar_subquery(),
        literal_column("'[]'::json"),
    ).label("items"),
).where(subscriptions.c.tenant_id == TENANT, subscriptions.c.customer_id == _CUSTOMERS)

_SOLD = plan_versions.alias("sold")
_PLANS = (
    select(
        plan_versions.c.plan.label("key"),
        plan_versions.c.version,
        func.coalesce(plan_versions.c.effective_from, _ALWAYS).label("since"),
        plan_versions.c.price,
        plan_versions.c.product,
        plan_versions.c.grants,
    )
    .where(
        plan_versions.c.tenant_id == TENANT,
        plan_versions.c.plan.in_(
            select(_SOLD.c.plan).where(
                _SOLD.c.tenant_id == TENANT,
                or_(
                    _SOLD.c.price.in_(select(_TAKEN.c.price)),
                    _SOLD.c.product.in_(select(_TAKEN.c.product)),
                    _SOLD.c.price == _PRICES,
                    _SOLD.c.product == _PRODUCTS,
                ),
            )
        ),
    )
    .subquery("plans")
)
_POLICIES = (
    select(
        entitlement_policies.c.version,
        entitlement_policies.c.effective_from.label("since"),
        ("P" + cast(entitlement_policies.c.grace_days, Text) + "D").label("grace"),
        entitlement_policies.c.trials,
        entitlement_policies.c.pause_collection.label("paused"),
    )
    .where(entitlement_policies.c.tenant_id == TENANT)
    .subquery("policies")
)
_UNUSUAL = feature_versions.alias("unusual")
_COMBINATIONS = (
    select(
        feature_versions.c.feature,
        feature_versions.c.combine.label("rule"),
        feature_versions.c.version,
        func.coalesce(feature_versions.c.effective_from, _ALWAYS).label("since"),
    )
    .where(
        feature_versions.c.tenant_id == TENANT,
        feature_versions.c.feature.in_(
            select(_UNUSUAL.c.feature).where(
                _UNUSUAL.c.tenant_id == TENANT,
                _UNUSUAL.c.combine != case({kind: rules[0] for kind, rules in RULES.items()}, value=_UNUSUAL.c.kind),
            )
        ),
    )
    .subquery("combinations")
)
_OVERRIDES = select(
    entitlement_overrides.c.customer_id,
    entitlement_overrides.c.id,
    entitlement_overrides.c.feature,
    entitlement_overrides.c.kind,
    entitlement_overrides.c.effect,
    entitlement_overrides.c.value,
    entitlement_overrides.c.starts_at.label("start"),
    func.coalesce(func.least(entitlement_overrides.c.ends_at, entitlement_overrides.c.revoked_at), _FOREVER).label(
        "end"
    ),
).where(entitlement_overrides.c.tenant_id == TENANT, entitlement_overrides.c.customer_id == _CUSTOMERS)
_PRESENT = select(
    entitlements.c.customer_id,
    entitlements.c.feature,
    entitlements.c.kind,
    entitlements.c.value,
    entitlements.c.valid_from,
    entitlements.c.valid_until,
    entitlements.c.sources,
).where(entitlements.c.tenant_id == TENANT, entitlements.c.customer_id == _CUSTOMERS)
_LAST = (
    select(entitlement_changes.c.customer_id, func.max(entitlement_changes.c.sequence).label("sequence"))
    .where(entitlement_changes.c.tenant_id == TENANT, entitlement_changes.c.customer_id == _CUSTOMERS)
    .group_by(entitlement_changes.c.customer_id)
    .subquery("last")
)

FACTS = Statement(
    select(
        _by_customer(_SUBSCRIPTIONS, "subscriptions"),
        _list(_PLANS, "plans"),
        _list(_POLICIES, "policies"),
        _list(_COMBINATIONS, "combinations"),
        _by_customer(_OVERRIDES, "overrides"),
        _by_customer(_PRESENT, "present"),
        select(cast(func.json_object_agg(_LAST.c.customer_id, _LAST.c.sequence), Text))
        .scalar_subquery()
        .label("sequences"),
    )
)
"""As JSON: plain rows would repeat a customer's columns for each of its items, or cost a round trip per table."""

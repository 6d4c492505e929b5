"""The statements of `store`: a customer's facts in, its entitlements and their history out."""

from typing import Any

from sqlalchemy import ARRAY, BigInteger, DateTime, Text, any_, bindparam, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants.partition import TENANT, Statement
from colonnade_tenants.tables import (
    entitlement_changes,
    entitlements,
    features,
    plan_grants,
    plans,
    subscription_items,
    subscriptions,
)

_CUSTOMER: Any = bindparam("customer", type_=BigInteger)
_OF_CUSTOMER = (entitlements.c.tenant_id == TENANT, entitlements.c.customer_id == _CUSTOMER)

SUBSCRIPTION_ITEMS = Statement(
    select(
        subscriptions.c.id.label("subscription"),
        subscriptions.c.status,
        subscriptions.c.started_at,
        subscriptions.c.cancel_at,
        subscriptions.c.cancel_at_period_end,
        subscriptions.c.ended_at,
        subscriptions.c.past_due_since,
        subscription_items.c.id,
        subscription_items.c.price,
        subscription_items.c.product,
        subscription_items.c.quantity,
        subscription_items.c.current_period_end,
    )
    .select_from(
        subscriptions.join(
            subscription_items,
            (subscription_items.c.tenant_id == TENANT) & (subscription_items.c.subscription == subscriptions.c.id),
        )
    )
    .where(subscriptions.c.tenant_id == TENANT, subscriptions.c.customer_id == _CUSTOMER)
    .order_by(subscriptions.c.id)
)

PLAN_GRANTS = Statement(
    select(
        plans.c.key,
        plans.c.price,
        plans.c.product,
        plan_grants.c.feature,
        features.c.kind,
        plan_grants.c.value,
        plan_grants.c.per_unit,
    )
    .select_from(
        plans.outerjoin(
            plan_grants,
            (plan_grants.c.tenant_id == TENANT) & (plan_grants.c.plan == plans.c.key),
        ).outerjoin(
            features,
            (features.c.tenant_id == TENANT) & (features.c.key == plan_grants.c.feature),
        )
    )
    .where(
        plans.c.tenant_id == TENANT,
        or_(
            plans.c.price == any_(bindparam("prices", type_=ARRAY(Text))),
            plans.c.product == any_(bindparam("products", type_=ARRAY(Text))),
        ),
    )
    .order_by(plans.c.key)
)

ENTITLEMENTS = Statement(
    select(
        entitlements.c.feature,
        entitlements.c.kind,
        entitlements.c.value,
        entitlements.c.valid_from,
        entitlements.c.valid_until,
        entitlements.c.sources,
    ).where(*_OF_CUSTOMER)
)

DELETE_ENTITLEMENT = Statement(
    delete(entitlements).where(
        *_OF_CUSTOMER,
        entitlements.c.feature == bindparam("of_feature"),
        entitlements.c.valid_from == bindparam("since", type_=DateTime(timezone=True)),
    )
)

ADD_ENTITLEMENT = Statement(
    insert(entitlements).values(
        tenant_id=TENANT,
        customer_id=_CUSTOMER,
        **{name: bindparam(name) for name in ("feature", "kind", "value", "valid_from", "valid_until", "sources")},
    )
)

LAST_SEQUENCE = Statement(
    select(func.coalesce(func.max(entitlement_changes.c.sequence), 0).label("sequence")).where(
        entitlement_changes.c.tenant_id == TENANT, entitlement_changes.c.customer_id == _CUSTOMER
    )
)

ADD_CHANGE = Statement(
    insert(entitlement_changes).values(
        tenant_id=TENANT,
        customer_id=_CUSTOMER,
        **{name: bindparam(name) for name in ("sequence", "feature", "before", "after", "cause")},
    )
)

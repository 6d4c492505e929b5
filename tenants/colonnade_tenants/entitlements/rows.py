"""The statements of `store`: a customer's facts in, its entitlements and their history out; one round trip each."""

from typing import Any

from sqlalchemy import BigInteger, FromClause, Text, bindparam, cast, delete, func, literal_column, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants.partition import TENANT, Statement, json_rows
from colonnade_tenants.tables import (
    entitlement_changes,
    entitlements,
    features,
    plan_grants,
    plans,
    subscription_items,
    subscriptions,
)

ENTITLEMENT = ("feature", "kind", "value", "valid_from", "valid_until", "sources")
CHANGE = ("sequence", "feature", "before", "after")

_CUSTOMER: Any = bindparam("customer", type_=BigInteger)
_OF_CUSTOMER = (entitlements.c.tenant_id == TENANT, entitlements.c.customer_id == _CUSTOMER)

_ITEMS = (
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
    .cte("items")
)

_GRANTS = (
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
        or_(plans.c.price.in_(select(_ITEMS.c.price)), plans.c.product.in_(select(_ITEMS.c.product))),
    )
    .subquery("grants")
)

_PRESENT = select(*(entitlements.c[name] for name in ENTITLEMENT)).where(*_OF_CUSTOMER).subquery("present")


def _all(rows: FromClause, name: str) -> Any:
    # As text: SQLAlchemy's connections decode JSON, asyncpg's own do not.
    return select(cast(func.json_agg(literal_column(name)), Text)).select_from(rows).scalar_subquery()


FACTS = Statement(
    select(
        _all(_ITEMS, "items").label("items"),
        _all(_GRANTS, "grants").label("grants"),
        _all(_PRESENT, "present").label("present"),
        select(func.coalesce(func.max(entitlement_changes.c.sequence), 0))
        .where(entitlement_changes.c.tenant_id == TENANT, entitlement_changes.c.customer_id == _CUSTOMER)
        .scalar_subquery()
        .label("sequence"),
    )
)

_GONE = json_rows("gone", entitlements.c.feature, entitlements.c.valid_from)
_WANTED = json_rows("wanted", *(entitlements.c[name] for name in ENTITLEMENT))
_CHANGES = json_rows("changes", *(entitlement_changes.c[name] for name in CHANGE))

_DELETE = delete(entitlements).where(
    *_OF_CUSTOMER,
    tuple_(entitlements.c.feature, entitlements.c.valid_from).in_(select(_GONE.c.feature, _GONE.c.valid_from)),
)
_ADD = insert(entitlements).from_select(
    ["tenant_id", "customer_id", *ENTITLEMENT], select(TENANT, _CUSTOMER, *(_WANTED.c[name] for name in ENTITLEMENT))
)
# An upsert: what is replaced under its own key must not be deleted by the same statement.
_PUT = _ADD.on_conflict_do_update(
    index_elements=["tenant_id", "customer_id", "feature", "valid_from"],
    set_={name: _ADD.excluded[name] for name in ENTITLEMENT if name not in ("feature", "valid_from")},
)

WRITE = Statement(
    insert(entitlement_changes)
    .from_select(
        ["tenant_id", "customer_id", "cause", *CHANGE],
        select(TENANT, _CUSTOMER, bindparam("cause", type_=Text), *(_CHANGES.c[name] for name in CHANGE)),
    )
    .add_cte(_DELETE.cte("deleted"), _PUT.cte("put"))
)

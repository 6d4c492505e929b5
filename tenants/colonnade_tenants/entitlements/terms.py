"""What a tenant's entitlements are computed by, as rows: plans, policy, combinations, overrides.

The catalogue's lock covers them while they are read, the customer's its overrides.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ARRAY, BigInteger, Text, any_, bindparam, case, cast, func, literal_column, or_, select

from colonnade_tenants.entitlements.model import ALWAYS, FOREVER, RULES, Combination, Grant, Override, Plan, Policy
from colonnade_tenants.partition import TENANT, Kind, Statement, TenantConnection
from colonnade_tenants.tables import entitlement_overrides, entitlement_policies, feature_versions, plan_versions


class Terms(NamedTuple):
    """All versions of the tenant's policy, and of how grants combine where that is not by default."""

    policies: tuple[Policy, ...]
    combinations: tuple[Combination, ...]


# As text: SQLAlchemy's connections decode JSON, asyncpg's own do not.
def _list(rows: Any) -> Any:
    each = rows.subquery("each")
    return select(cast(func.json_agg(literal_column("each")), Text)).select_from(each).scalar_subquery()


def _by_default(versions: Any) -> Any:
    return case({kind: rules[0] for kind, rules in RULES.items()}, value=versions.c.kind)


# In the text: asyncpg takes the end of what Python can tell for infinity.
_ALWAYS: Any = literal_column(f"timestamptz '{ALWAYS.isoformat()}'")
_UNUSUAL = feature_versions.alias("unusual")
_TERMS = Statement(
    select(
        _list(
            select(
                entitlement_policies.c.version,
                entitlement_policies.c.effective_from.label("since"),
                ("P" + cast(entitlement_policies.c.grace_days, Text) + "D").label("grace"),
                entitlement_policies.c.trials,
                entitlement_policies.c.pause_collection.label("paused"),
            ).where(entitlement_policies.c.tenant_id == TENANT)
        ).label("policies"),
        _list(
            select(
                feature_versions.c.feature,
                feature_versions.c.combine.label("rule"),
                feature_versions.c.version,
                func.coalesce(feature_versions.c.effective_from, _ALWAYS).label("since"),
            ).where(
                feature_versions.c.tenant_id == TENANT,
                feature_versions.c.feature.in_(
                    select(_UNUSUAL.c.feature).where(
                        _UNUSUAL.c.tenant_id == TENANT, _UNUSUAL.c.combine != _by_default(_UNUSUAL)
                    )
                ),
            )
        ).label("combinations"),
    )
)

_KEYS: Any = any_(bindparam("keys", type_=ARRAY(Text)))
_SOLD = plan_versions.alias("sold")
_PLANS = Statement(
    select(
        plan_versions.c.plan,
        plan_versions.c.version,
        plan_versions.c.effective_from,
        plan_versions.c.price,
        plan_versions.c.product,
        cast(plan_versions.c.grants, Text).label("grants"),
    ).where(
        plan_versions.c.tenant_id == TENANT,
        plan_versions.c.plan.in_(
            select(_SOLD.c.plan).where(
                _SOLD.c.tenant_id == TENANT, or_(_SOLD.c.price == _KEYS, _SOLD.c.product == _KEYS)
            )
        ),
    )
)

_TABLE = entitlement_overrides.c
_OVERRIDES = Statement(
    select(
        _TABLE.customer_id,
        *(_TABLE[name] for name in ("id", "feature", "kind", "effect", "value", "starts_at")),
        func.least(_TABLE.ends_at, _TABLE.revoked_at).label("end"),
    )
    .where(_TABLE.tenant_id == TENANT, _TABLE.customer_id == any_(bindparam("customers", type_=ARRAY(BigInteger))))
    .order_by(_TABLE.id)
)


async def _load_terms(tenant: TenantConnection, keys: Sequence[int]) -> dict[int, Terms]:
    (row,) = await tenant.fetch(_TERMS)
    policies = msgspec.json.decode(row["policies"] or "[]", type=tuple[Policy, ...])
    combinations = msgspec.json.decode(row["combinations"] or "[]", type=tuple[Combination, ...])
    return dict.fromkeys(keys, Terms(policies, combinations))


async def _load_plans(tenant: TenantConnection, keys: Sequence[str]) -> dict[str, tuple[Plan, ...]]:
    versions: dict[str, list[Plan]] = defaultdict(list)
    sold: dict[str, set[str]] = defaultdict(set)
    for row in await tenant.fetch(_PLANS, keys=keys):
        grants = msgspec.json.decode(row["grants"], type=tuple[Grant, ...])
        since = row["effective_from"] or ALWAYS
        versions[row["plan"]].append(Plan(row["plan"], row["price"], row["product"], grants, row["version"], since))
        for key in (row["price"], row["product"]):
            sold[key].add(row["plan"])
    return {key: tuple(plan for name in sorted(sold[key]) for plan in versions[name]) for key in keys if key in sold}


async def _load_overrides(tenant: TenantConnection, customers: Sequence[int]) -> dict[int, tuple[Override, ...]]:
    found: dict[int, list[Override]] = defaultdict(list)
    for row in await tenant.fetch(_OVERRIDES, customers=customers):
        fields = {name: row[name] for name in ("id", "feature", "kind", "effect", "value")}
        override = Override(**fields, start=row["starts_at"], end=row["end"] or FOREVER)
        found[row["customer_id"]].append(override)
    return {customer: tuple(of_customer) for customer, of_customer in found.items()}


async def _only_read(_tenant: TenantConnection, _rows: Mapping[Any, Any]) -> None:
    raise NotImplementedError("Whoever changes these writes them at once.")


TERMS: Kind[int, Terms] = Kind(_load_terms, _only_read)
"""The tenant's, under 0."""
PLANS: Kind[str, tuple[Plan, ...]] = Kind(_load_plans, _only_read)
"""All versions of the plans that were ever sold as a price or product, by that one's id."""
OVERRIDES: Kind[int, tuple[Override, ...]] = Kind(_load_overrides, _only_read)
"""All overrides of a customer, by internal id."""

"""Entitlements, their history and the plans that grant them, as rows: any number of customers in one round trip."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import ARRAY, BigInteger, Text, any_, bindparam, cast, delete, func, literal_column, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants.entitlements.compute import Entitlement, Grant, Plan
from colonnade_tenants.partition import TENANT, Kind, Statement, TenantConnection, as_json, json_rows
from colonnade_tenants.tables import entitlement_changes, entitlements, features, plan_grants, plans

ENTITLEMENT = ("customer_id", "feature", "kind", "value", "valid_from", "valid_until", "sources")
CHANGE = ("customer_id", "sequence", "feature", "before", "after", "cause")


class Change(msgspec.Struct, frozen=True):
    """One feature's timeline before and after; empty where it was not, or is no longer, granted.

    *sequence* counts up by one per customer. *cause*: `evt_…`, `plan:KEY`, …
    """

    sequence: int
    feature: str
    before: list[Entitlement]
    after: list[Entitlement]
    cause: str


class Book(msgspec.Struct, frozen=True):
    """A customer's entitlements, by feature and time; the last change's number, and the changes since it was read."""

    present: list[Entitlement]
    sequence: int
    changes: tuple[Change, ...] = ()


_KEYS: Any = any_(bindparam("keys", type_=ARRAY(Text)))
_PLANS = Statement(
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
    .where(plans.c.tenant_id == TENANT, or_(plans.c.price == _KEYS, plans.c.product == _KEYS))
    .order_by(plans.c.key)
)

_CUSTOMERS = (
    func.unnest(bindparam("customers", type_=ARRAY(BigInteger))).table_valued("id", name="customer").render_derived()
)
_BOOKS = Statement(
    select(
        _CUSTOMERS.c.id,
        # As text: SQLAlchemy's connections decode JSON, asyncpg's own do not.
        select(cast(func.json_agg(literal_column("entitlements")), Text))
        .where(entitlements.c.tenant_id == TENANT, entitlements.c.customer_id == _CUSTOMERS.c.id)
        .scalar_subquery()
        .label("present"),
        select(func.coalesce(func.max(entitlement_changes.c.sequence), 0))
        .where(entitlement_changes.c.tenant_id == TENANT, entitlement_changes.c.customer_id == _CUSTOMERS.c.id)
        .scalar_subquery()
        .label("sequence"),
    )
)

_GONE_KEY = ("customer_id", "feature", "valid_from")
_GONE = json_rows("gone", *(entitlements.c[name] for name in _GONE_KEY))
_WANTED = json_rows("wanted", *(entitlements.c[name] for name in ENTITLEMENT))
_CHANGES = json_rows("changes", *(entitlement_changes.c[name] for name in CHANGE))

_DELETE = delete(entitlements).where(
    entitlements.c.tenant_id == TENANT,
    tuple_(*(entitlements.c[name] for name in _GONE_KEY)).in_(select(*(_GONE.c[name] for name in _GONE_KEY))),
)
_ADD = insert(entitlements).from_select(
    ["tenant_id", *ENTITLEMENT], select(TENANT, *(_WANTED.c[name] for name in ENTITLEMENT))
)
# An upsert: what is replaced under its own key must not be deleted by the same statement.
_PUT = _ADD.on_conflict_do_update(
    index_elements=["tenant_id", *_GONE_KEY],
    set_={name: _ADD.excluded[name] for name in ENTITLEMENT if name not in _GONE_KEY},
)
_WRITE = Statement(
    insert(entitlement_changes)
    .from_select(["tenant_id", *CHANGE], select(TENANT, *(_CHANGES.c[name] for name in CHANGE)))
    .add_cte(_DELETE.cte("deleted"), _PUT.cte("put"))
)


async def _load_plans(tenant: TenantConnection, keys: Sequence[str]) -> dict[str, Plan]:
    found: dict[str, Plan] = {}
    for _, group in groupby(await tenant.fetch(_PLANS, keys=keys), key=lambda row: row["key"]):
        of_plan = list(group)
        # A plan without grants still takes precedence over its product's plan.
        grants = tuple(
            Grant(row["feature"], row["kind"], row["value"], row["per_unit"])
            for row in of_plan
            if row["feature"] is not None
        )
        plan = Plan(of_plan[0]["price"], of_plan[0]["product"], grants)
        found[plan.price or plan.product or ""] = plan
    return found


async def _only_read(_tenant: TenantConnection, _rows: object) -> None:
    raise NotImplementedError("Plans are written by the catalogue.")


async def _load_books(tenant: TenantConnection, customers: Sequence[int]) -> dict[int, Book]:
    return {
        row["id"]: Book(_present(row["present"] or "[]"), row["sequence"])
        for row in await tenant.fetch(_BOOKS, customers=customers)
    }


def _present(found: str) -> list[Entitlement]:
    return sorted(msgspec.json.decode(found, type=list[Entitlement]), key=lambda row: (row.feature, row.valid_from))


async def _save_books(tenant: TenantConnection, books: Mapping[int, tuple[Book | None, Book]]) -> None:
    gone: list[dict[str, Any]] = []
    wanted: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    for customer, (old, new) in books.items():
        before = {(row.feature, row.valid_from): row for row in (old.present if old else ())}
        after = {(row.feature, row.valid_from): row for row in new.present}
        gone += (
            {"customer_id": customer, "feature": feature, "valid_from": valid_from}
            for feature, valid_from in before.keys() - after.keys()
        )
        wanted += (
            {"customer_id": customer, **msgspec.structs.asdict(row)}
            for key, row in after.items()
            if before.get(key) != row
        )
        changes += (_line(customer, change) for change in new.changes if old is None or change.sequence > old.sequence)
    if changes:
        await tenant.execute(_WRITE, gone=as_json(gone), wanted=as_json(wanted), changes=as_json(changes))


def _line(customer: int, change: Change) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(change),
        "customer_id": customer,
        "before": change.before or None,
        "after": change.after or None,
    }


PLANS = Kind(_load_plans, _only_read)
"""The plan that a price or a product means, by that one's id."""
BOOKS = Kind(_load_books, _save_books)
"""Each customer's entitlements and history, by internal id; the customer's lock covers them."""

"""Entitlements and their history as rows: any number of customers in one round trip."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ARRAY, BigInteger, Text, bindparam, case, cast, delete, func, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants.entitlements.model import Entitlement
from colonnade_tenants.entitlements.reasons import Reason
from colonnade_tenants.partition import TENANT, Kind, Statement, TenantConnection, as_json, json_rows
from colonnade_tenants.tables import entitlement_changes, entitlements

CHANNEL = "colonnade_entitlements"
"""Notified with `TENANT:CUSTOMER` (internal ids) of each customer that changed, `TENANT:*` where any may have."""

MANY = 50
"""Customers that one statement announces by themselves; of more it says `TENANT:*`."""

ENTITLEMENT = ("customer_id", "feature", "kind", "value", "valid_from", "valid_until", "sources")
CHANGE = ("customer_id", "sequence", "feature", "before", "after", "cause", "reasons")


class Change(msgspec.Struct, frozen=True):
    """One feature's timeline before and after; empty where it was not, or is no longer, granted.

    *sequence* counts up by one per customer. *cause*: `evt_…`, `override:ovr_…`, `plan:KEY@VERSION`, `policy@VERSION`,
    `clock`, … *reasons*: what the timeline after is made of.
    """

    sequence: int
    feature: str
    before: list[Entitlement]
    after: list[Entitlement]
    cause: str
    reasons: list[Reason]


class Book(msgspec.Struct, frozen=True):
    """A customer's entitlements, by feature and time; the last change's number, and the changes since it was read."""

    present: list[Entitlement]
    sequence: int
    changes: tuple[Change, ...] = ()


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
_NOTED = (
    insert(entitlement_changes)
    .from_select(["tenant_id", *CHANGE], select(TENANT, *(_CHANGES.c[name] for name in CHANGE)))
    .returning(entitlement_changes.c.customer_id)
    .cte("noted")
)
_number = select(func.count(_NOTED.c.customer_id.distinct())).scalar_subquery()
_WHOSE = case((_number > bindparam("many", type_=BigInteger), "*"), else_=cast(_NOTED.c.customer_id, Text))
_CHANGED = select(_WHOSE.label("whose")).distinct().subquery("changed")
_ANNOUNCED = select(func.pg_notify(CHANNEL, cast(TENANT, Text) + ":" + _CHANGED.c.whose))
_WRITE = Statement(_ANNOUNCED.select_from(_CHANGED).add_cte(_DELETE.cte("deleted"), _PUT.cte("put")))


async def _load_books(tenant: TenantConnection, customers: Sequence[int]) -> dict[int, Book]:
    return {
        row["id"]: Book(_present(row["present"] or "[]"), row["sequence"])
        for row in await tenant.fetch(_BOOKS, customers=customers)
    }


def _present(found: str) -> list[Entitlement]:
    return sorted(msgspec.json.decode(found, type=list[Entitlement]), key=lambda row: (row.feature, row.valid_from))


async def _save_books(tenant: TenantConnection, books: Mapping[int, tuple[Book | None, Book]]) -> None:
    """Make the rows say it, note what changed, and announce whose did."""
    gone: list[dict[str, Any]] = []
    wanted: list[dict[str, Any]] = []
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
    changed = {
        customer: [change for change in new.changes if old is None or change.sequence > old.sequence]
        for customer, (old, new) in books.items()
    }
    changes = [_line(customer, change) for customer, of_customer in changed.items() for change in of_customer]
    if changes:
        rows = {"gone": as_json(gone), "wanted": as_json(wanted), "changes": as_json(changes)}
        await tenant.fetch(_WRITE, many=MANY, **rows)


def _line(customer: int, change: Change) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(change),
        "customer_id": customer,
        "before": change.before or None,
        "after": change.after or None,
        "reasons": change.reasons or None,
    }


BOOKS = Kind(_load_books, _save_books)
"""Each customer's entitlements and history, by internal id; the customer's lock covers them."""

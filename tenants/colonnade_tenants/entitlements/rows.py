"""Entitlements and their history as rows: any number of customers in one statement."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Text, cast, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants.entitlements.model import Entitlement
from colonnade_tenants.notifications import notes, record
from colonnade_tenants.partition import TENANT, Statement, TenantConnection, json_rows
from colonnade_tenants.tables import entitlement_changes, entitlements

CHANNEL = "colonnade_entitlements"
"""Notified with `TENANT:CUSTOMER` (internal ids) of each customer that changed, `TENANT:*` where any may have."""

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
    reasons: list[dict[str, Any]]


class Book(msgspec.Struct, frozen=True):
    """A customer's entitlements, by feature and time; the last change's number, and the changes since it was read."""

    present: list[Entitlement]
    sequence: int
    changes: tuple[Change, ...] = ()


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
_CHANGED = select(_NOTED.c.customer_id).distinct().subquery("changed")
_ONE_BY_ONE = select(func.pg_notify(CHANNEL, cast(TENANT, Text) + ":" + cast(_CHANGED.c.customer_id, Text)))
WRITE = Statement(_ONE_BY_ONE.select_from(_CHANGED).add_cte(_DELETE.cte("deleted"), _PUT.cte("put")))


def write_arguments(books: Mapping[int, tuple[Book, Book]]) -> dict[str, str]:
    """The arguments of `WRITE` that make each customer's rows say the second of its pair, where they said the first."""
    gone: list[dict[str, Any]] = []
    wanted: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    for customer, (old, new) in books.items():
        before = {(row.feature, row.valid_from): row for row in old.present}
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
        changes += (_line(customer, change) for change in new.changes)
    return {"gone": _json(gone), "wanted": _json(wanted), "changes": _json(changes)}


async def write(tenant: TenantConnection, books: Mapping[int, tuple[Book, Book]]) -> None:
    """Make the rows say it, note what changed, announce whose did, and tell the tenant."""
    if any(new.changes for _, new in books.values()):
        await tenant.fetch(WRITE, **write_arguments(books))
        await record(tenant, notes.entitlement_changes({key: new.changes for key, (_, new) in books.items()}))


def _line(customer: int, change: Change) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(change),
        "customer_id": customer,
        "before": change.before or None,
        "after": change.after or None,
        "reasons": change.reasons or None,
    }


def _json(rows: Any) -> str:
    return msgspec.json.encode(rows).decode()

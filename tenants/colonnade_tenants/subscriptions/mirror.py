"""The mirror's rows: one subscription and its items."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from colonnade_tenants.partition import TENANT, Kind, Statement, TenantConnection, as_json, bytea, json_rows
from colonnade_tenants.snapshots import Held
from colonnade_tenants.subscriptions.past_due import PastDue
from colonnade_tenants.subscriptions.snapshot import Facts, Item
from colonnade_tenants.tables import subscription_items, subscriptions

TERMINAL = frozenset({"canceled", "incomplete_expired"})
"""Statuses that are never left ("Subscription statuses", Stripe documentation)."""


class Mirrored(msgspec.Struct, frozen=True):
    """A subscription as it is held, whose it is, and since when it is past due."""

    id: str
    customer_id: int
    held: Held[Facts]
    past_due: PastDue


_FACTS = [name for name in Facts.__struct_fields__ if name != "items"]
_STATE = [*_FACTS, "past_due_since", "past_due_exact", "source_created", "source_event", "source_before"]
_ITEM = list(Item.__struct_fields__)
_COLUMNS = ["id", "customer_id", *_STATE]
_ITEM_COLUMNS = ["subscription", *_ITEM]

_LOAD = Statement(
    select(
        *(subscriptions.c[name] for name in _COLUMNS),
        select(cast(func.json_agg(literal_column("subscription_items")), Text))
        .where(subscription_items.c.tenant_id == TENANT, subscription_items.c.subscription == subscriptions.c.id)
        .scalar_subquery()
        .label("items"),
    ).where(
        subscriptions.c.tenant_id == TENANT,
        subscriptions.c.customer_id == any_(bindparam("customers", type_=ARRAY(BigInteger))),
    )
)
_GIVEN = json_rows("subscriptions", *(subscriptions.c[name] for name in _COLUMNS))
_GIVEN_ITEMS = json_rows("items", *(subscription_items.c[name] for name in _ITEM_COLUMNS))
_GONE = json_rows("gone", subscription_items.c.subscription, subscription_items.c.id)


def _upsert(table: Table, given: Any, key: list[str], columns: list[str]) -> Insert:
    new = insert(table).from_select(["tenant_id", *columns], select(TENANT, *(given.c[name] for name in columns)))
    return new.on_conflict_do_update(
        index_elements=["tenant_id", *key], set_={name: new.excluded[name] for name in columns if name not in key}
    )


_SAVED = _upsert(subscriptions, _GIVEN, ["id"], _COLUMNS)
_SAVE = Statement(_SAVED)
_DELETE = delete(subscription_items).where(
    subscription_items.c.tenant_id == TENANT,
    tuple_(subscription_items.c.subscription, subscription_items.c.id).in_(select(_GONE.c.subscription, _GONE.c.id)),
)
_SAVE_WITH_ITEMS = Statement(
    _upsert(subscription_items, _GIVEN_ITEMS, ["subscription", "id"], _ITEM_COLUMNS).add_cte(
        _SAVED.cte("saved"), _DELETE.cte("deleted")
    )
)

Subscriptions = Mapping[str, Mirrored]
"""All subscriptions of a customer, by id."""


async def _load(tenant: TenantConnection, customers: Sequence[int]) -> dict[int, Subscriptions]:
    found: dict[int, dict[str, Mirrored]] = {customer: {} for customer in customers}
    for row in await tenant.fetch(_LOAD, customers=customers):
        found[row["customer_id"]][row["id"]] = _mirrored(row)
    return dict(found)


def _mirrored(row: asyncpg.Record) -> Mirrored:
    items = msgspec.json.decode(row["items"] or "[]", type=list[Item])
    kept: dict[str, Any] = {name: row[name] for name in _FACTS}
    kept["discounts"] = None if row["discounts"] is None else tuple(row["discounts"])
    facts = Facts(**kept, items=tuple(sorted(items, key=lambda item: item.id)))
    return Mirrored(
        id=row["id"],
        customer_id=row["customer_id"],
        held=Held(facts, row["source_created"], row["source_event"], row["source_before"]),
        past_due=PastDue(row["past_due_since"], row["past_due_exact"]),
    )


async def _save(tenant: TenantConnection, changed: Mapping[int, tuple[Subscriptions | None, Subscriptions]]) -> None:
    rows: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
    gone: list[dict[str, str]] = []
    for olds, news in changed.values():
        for name, new in news.items():
            old = (olds or {}).get(name)
            if new == old:
                continue
            rows.append(_row(new))
            before, after = old.held.facts.items if old else (), new.held.facts.items
            if before != after:
                kept = {item.id for item in after}
                gone += ({"subscription": name, "id": item.id} for item in before if item.id not in kept)
                items += ({"subscription": name, **msgspec.structs.asdict(item)} for item in after)
    if gone or items:
        await tenant.execute(_SAVE_WITH_ITEMS, subscriptions=as_json(rows), items=as_json(items), gone=as_json(gone))
    elif rows:
        await tenant.execute(_SAVE, subscriptions=as_json(rows))


def _row(new: Mirrored) -> dict[str, Any]:
    return {
        **{name: getattr(new.held.facts, name) for name in _FACTS},
        "id": new.id,
        "customer_id": new.customer_id,
        "past_due_since": new.past_due.since,
        "past_due_exact": new.past_due.exact,
        "source_created": new.held.created,
        "source_event": new.held.event,
        "source_before": bytea(new.held.before),
    }


OF_CUSTOMER = Kind(_load, _save)
"""Subscriptions by their customer's internal id, whose lock covers them."""

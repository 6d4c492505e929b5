"""The mirror's rows: one subscription and its items."""

from typing import Any

import msgspec
from sqlalchemy import Text, bindparam, cast, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants.partition import TENANT, Statement, TenantConnection, json_rows
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
_SUBSCRIPTION: Any = bindparam("subscription")

_LOAD = Statement(
    select(
        subscriptions.c.customer_id,
        *(subscriptions.c[name] for name in _STATE),
        select(cast(func.json_agg(literal_column("subscription_items")), Text))
        .where(subscription_items.c.tenant_id == TENANT, subscription_items.c.subscription == _SUBSCRIPTION)
        .scalar_subquery()
        .label("items"),
    )
    .where(subscriptions.c.tenant_id == TENANT, subscriptions.c.id == _SUBSCRIPTION)
    .with_for_update(key_share=True, of=subscriptions)
)
_NEW = insert(subscriptions).values(
    tenant_id=TENANT, **{name: bindparam(name) for name in ("id", "customer_id", *_STATE)}
)
_SAVED = _NEW.on_conflict_do_update(
    index_elements=["tenant_id", "id"], set_={name: _NEW.excluded[name] for name in _STATE}
)
_GIVEN = json_rows("items", *(subscription_items.c[name] for name in _ITEM))
_GONE = delete(subscription_items).where(
    subscription_items.c.tenant_id == TENANT,
    subscription_items.c.subscription == bindparam("id"),
    subscription_items.c.id.not_in(select(_GIVEN.c.id)),
)
_NEW_ITEMS = insert(subscription_items).from_select(
    ["tenant_id", "subscription", *_ITEM],
    select(TENANT, bindparam("id", type_=Text), *(_GIVEN.c[name] for name in _ITEM)),
)
_SAVE = Statement(_SAVED)
_SAVE_WITH_ITEMS = Statement(
    _NEW_ITEMS.on_conflict_do_update(
        index_elements=["tenant_id", "subscription", "id"],
        set_={name: _NEW_ITEMS.excluded[name] for name in _ITEM[1:]},
    ).add_cte(_SAVED.cte("saved"), _GONE.cte("gone"))
)


async def load(tenant: TenantConnection, subscription: str) -> Mirrored | None:
    """The subscription's row, locked until the transaction ends, and its items."""
    row = await tenant.fetch_one(_LOAD, subscription=subscription)
    if row is None:
        return None
    items = msgspec.json.decode(row["items"] or "[]", type=list[Item])
    facts = Facts(**{name: row[name] for name in _FACTS}, items=tuple(sorted(items, key=lambda item: item.id)))
    return Mirrored(
        id=subscription,
        customer_id=row["customer_id"],
        held=Held(facts, row["source_created"], row["source_event"], row["source_before"]),
        past_due=PastDue(row["past_due_since"], row["past_due_exact"]),
    )


async def save(tenant: TenantConnection, new: Mirrored, old: Mirrored | None) -> None:
    """Make the rows say *new*, where they said *old*."""
    items = new.held.facts.items
    values = {
        **{name: getattr(new.held.facts, name) for name in _FACTS},
        "id": new.id,
        "customer_id": new.customer_id,
        "past_due_since": new.past_due.since,
        "past_due_exact": new.past_due.exact,
        "source_created": new.held.created,
        "source_event": new.held.event,
        "source_before": new.held.before,
    }
    if old is not None and old.held.facts.items == items:
        await tenant.execute(_SAVE, **values)
    else:
        await tenant.execute(_SAVE_WITH_ITEMS, **values, items=msgspec.json.encode(items).decode())

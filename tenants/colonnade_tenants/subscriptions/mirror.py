"""The mirror's rows: one subscription and its items."""

from typing import Any

import msgspec
from sqlalchemy import ARRAY, Text, all_, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants.partition import TENANT, Statement, TenantConnection
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

_LOCK = Statement(
    select(subscriptions.c.customer_id, *(subscriptions.c[name] for name in _STATE))
    .where(subscriptions.c.tenant_id == TENANT, subscriptions.c.id == _SUBSCRIPTION)
    .with_for_update(key_share=True)
)
_ITEMS = Statement(
    select(*(subscription_items.c[name] for name in _ITEM)).where(
        subscription_items.c.tenant_id == TENANT, subscription_items.c.subscription == _SUBSCRIPTION
    )
)
_NEW = insert(subscriptions).values(
    tenant_id=TENANT, **{name: bindparam(name) for name in ("id", "customer_id", *_STATE)}
)
_SAVE = Statement(
    _NEW.on_conflict_do_update(index_elements=["tenant_id", "id"], set_={name: _NEW.excluded[name] for name in _STATE})
)
_NEW_ITEM = insert(subscription_items).values(
    tenant_id=TENANT, **{name: bindparam(name) for name in ("subscription", *_ITEM)}
)
_SAVE_ITEM = Statement(
    _NEW_ITEM.on_conflict_do_update(
        index_elements=["tenant_id", "subscription", "id"], set_={name: _NEW_ITEM.excluded[name] for name in _ITEM[1:]}
    )
)
_KEEP_ITEMS = Statement(
    delete(subscription_items).where(
        subscription_items.c.tenant_id == TENANT,
        subscription_items.c.subscription == _SUBSCRIPTION,
        subscription_items.c.id != all_(bindparam("kept", type_=ARRAY(Text))),
    )
)


async def load(tenant: TenantConnection, subscription: str) -> Mirrored | None:
    """The subscription's row, locked until the transaction ends, and its items."""
    row = await tenant.fetch_one(_LOCK, subscription=subscription)
    if row is None:
        return None
    items = [Item(**item) for item in await tenant.fetch(_ITEMS, subscription=subscription)]
    facts = Facts(**{name: row[name] for name in _FACTS}, items=tuple(sorted(items, key=lambda item: item.id)))
    return Mirrored(
        id=subscription,
        customer_id=row["customer_id"],
        held=Held(facts, row["source_created"], row["source_event"], row["source_before"]),
        past_due=PastDue(row["past_due_since"], row["past_due_exact"]),
    )


async def save(tenant: TenantConnection, new: Mirrored, old: Mirrored | None) -> None:
    """Make the rows say *new*, where they said *old*."""
    await tenant.execute(
        _SAVE,
        **{name: getattr(new.held.facts, name) for name in _FACTS},
        id=new.id,
        customer_id=new.customer_id,
        past_due_since=new.past_due.since,
        past_due_exact=new.past_due.exact,
        source_created=new.held.created,
        source_event=new.held.event,
        source_before=new.held.before,
    )
    items = new.held.facts.items
    if old is not None and old.held.facts.items == items:
        return
    await tenant.execute(_KEEP_ITEMS, subscription=new.id, kept=[item.id for item in items])
    rows = [{"subscription": new.id, **msgspec.structs.asdict(item)} for item in items]
    await tenant.execute_many(_SAVE_ITEM, rows)

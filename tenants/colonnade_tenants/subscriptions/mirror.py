"""The mirror's rows: one subscription and its items."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ARRAY, Text, all_, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants.order import Stamp, digest
from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.subscriptions.past_due import PastDue
from colonnade_tenants.subscriptions.snapshot import Facts, Item
from colonnade_tenants.tables import subscription_items, subscriptions

TERMINAL = frozenset({"canceled", "incomplete_expired"})
"""Statuses that are never left ("Subscription statuses", Stripe documentation)."""


class Mirrored(msgspec.Struct, frozen=True):
    """A subscription's facts, and the event that they are from."""

    id: str
    customer_id: int
    facts: Facts
    past_due: PastDue
    source_created: datetime
    source_event: str
    source_before: bytes | None

    def stamp(self) -> Stamp:
        """Where these facts stand among the subscription's snapshots."""
        final = self.facts.status in TERMINAL
        return Stamp(self.source_created, final, digest(self.facts), self.source_before)


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
    return Mirrored(
        id=subscription,
        customer_id=row["customer_id"],
        facts=Facts(**{name: row[name] for name in _FACTS}, items=tuple(sorted(items, key=lambda item: item.id))),
        past_due=PastDue(row["past_due_since"], row["past_due_exact"]),
        source_created=row["source_created"],
        source_event=row["source_event"],
        source_before=row["source_before"],
    )


async def save(tenant: TenantConnection, new: Mirrored, old: Mirrored | None) -> None:
    """Make the rows say *new*, where they said *old*."""
    await tenant.execute(
        _SAVE,
        **{name: getattr(new.facts, name) for name in _FACTS},
        id=new.id,
        customer_id=new.customer_id,
        past_due_since=new.past_due.since,
        past_due_exact=new.past_due.exact,
        source_created=new.source_created,
        source_event=new.source_event,
        source_before=new.source_before,
    )
    if old is not None and old.facts.items == new.facts.items:
        return
    await tenant.execute(_KEEP_ITEMS, subscription=new.id, kept=[item.id for item in new.facts.items])
    rows = [{"subscription": new.id, **msgspec.structs.asdict(item)} for item in new.facts.items]
    await tenant.execute_many(_SAVE_ITEM, rows)

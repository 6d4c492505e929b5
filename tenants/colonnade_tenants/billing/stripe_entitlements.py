"""What Stripe Entitlements say of a customer ("Entitlements", Stripe documentation): kept to be compared with ours.

Stripe knows yes alone, no amounts and no ends, and decides by itself which statuses grant. So it is never an authority.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, select
from sqlalchemy.dialects.postgresql import insert

from colonnade_tenants import customers
from colonnade_tenants.billing.tables import stripe_entitlements
from colonnade_tenants.errors import NotFound
from colonnade_tenants.events import Event
from colonnade_tenants.fields import Reference, id_of
from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.snapshots import Held, later
from colonnade_tenants.stripe import TenantStripe

_LIST = "/v1/entitlements/active_entitlements"
_PAGE = 100  # Stripe's largest


class Active(Struct, frozen=True):
    """The lookup keys of the features that Stripe takes for active, sorted."""

    lookup_keys: tuple[str, ...]


class _Entitlement(Struct):
    id: str
    lookup_key: str


class _Page(Struct):
    data: list[_Entitlement]
    has_more: bool


class _Summary(Struct):
    """Stripe's summary ("The Active Entitlement Summary object", Stripe API reference); it has no id."""

    customer: Reference
    entitlements: _Page


_COLUMNS = ("id", "customer_id", "lookup_keys", "source_created", "source_event", "source_before")
_LOCK = Statement(
    select(*(stripe_entitlements.c[name] for name in _COLUMNS))
    .where(stripe_entitlements.c.tenant_id == TENANT, stripe_entitlements.c.id == bindparam("id"))
    .with_for_update()
)
_NEW = insert(stripe_entitlements).values(tenant_id=TENANT, **{name: bindparam(name) for name in _COLUMNS})
_SAVE = Statement(
    _NEW.on_conflict_do_update(
        index_elements=["tenant_id", "id"], set_={name: _NEW.excluded[name] for name in _COLUMNS[2:]}
    )
)
_OF_CUSTOMER = Statement(
    select(stripe_entitlements.c.lookup_keys, stripe_entitlements.c.source_created)
    .where(stripe_entitlements.c.tenant_id == TENANT, stripe_entitlements.c.customer_id == bindparam("customer"))
    .limit(1)
)


async def summary_changed(event: Event, tenant: TenantConnection, stripe: TenantStripe) -> None:
    """Mirror the customer's summary; one that goes on beyond its page is read to the end."""
    summary = msgspec.json.decode(event.object, type=_Summary)
    name = id_of(summary.customer)

    async def read() -> Active | None:
        try:
            return await active(stripe, name)
        except NotFound:
            return None

    page = summary.entitlements
    said = await read() if page.has_more else _active(page.data)
    if said is None:
        return  # the customer was deleted meanwhile
    owner = await customers.by_stripe_id(tenant, name)
    row = await tenant.fetch_one(_LOCK, id=name)
    old = Held(Active(tuple(row["lookup_keys"])), *(row[column] for column in _COLUMNS[3:])) if row else None
    held = await later(Held(said, event.created, event.id, None), old, stage=lambda _: 0, reread=read)
    if held != old:
        keys, source = list(held.facts.lookup_keys), (held.created, held.event, held.before)
        values: tuple[Any, ...] = (name, owner, keys, *source)
        await tenant.execute(_SAVE, **dict(zip(_COLUMNS, values, strict=True)))


async def active(stripe: TenantStripe, customer: str) -> Active:
    """What Stripe says now of the customer (`cus_…`). Raises `NotFound`, and what reading raises."""
    found: list[_Entitlement] = []
    more = True
    while more:
        after = {"starting_after": found[-1].id} if found else {}
        reply = await stripe.get(_LIST, {"customer": customer, "limit": _PAGE, **after})
        page = msgspec.convert(reply, _Page)
        found += page.data
        more = page.has_more and bool(page.data)
    return _active(found)


async def mirrored(tenant: TenantConnection, customer_id: int) -> tuple[Active, datetime] | None:
    """What Stripe said last of the customer, and when; None: nothing yet."""
    row = await tenant.fetch_one(_OF_CUSTOMER, customer=customer_id)
    return None if row is None else (Active(tuple(row["lookup_keys"])), row["source_created"])


def _active(found: list[_Entitlement]) -> Active:
    return Active(tuple(sorted({each.lookup_key for each in found})))

"""End customers: one row per (tenant, reference), bound to one Stripe customer. E-mail is never an identity."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ARRAY, BigInteger, Select, Text, any_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from colonnade_tenants import values
from colonnade_tenants.errors import Conflict, NotFound
from colonnade_tenants.handover import hand_over
from colonnade_tenants.ids import new_id
from colonnade_tenants.partition import TENANT, Kind, Statement, TenantConnection, TenantSession, as_json, json_rows
from colonnade_tenants.tables import customers


class Customer(msgspec.Struct, frozen=True):
    """An end customer of the tenant.

    *reference* is the tenant's own id, null for one that Stripe told of first; *stripe_customer* is null while the
    row is only reserved. *id* is internal; *public_id* is `ecu_…`.
    """

    id: int
    public_id: str
    reference: str | None
    stripe_customer: str | None
    name: str | None
    email: str | None
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime


_COLUMNS = [customers.c[name] for name in Customer.__struct_fields__]
_OWN = customers.c.tenant_id == TENANT
_KEPT = ("public_id", "reference", "name", "email", "metadata", "created_at")
"""What a row that an event made takes from the reserved row whose place it takes."""


async def reserve(
    session: TenantSession,
    reference: str,
    name: str | None = None,
    email: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> tuple[Customer, bool]:
    """The customer with this reference, with these fields, and whether it is new. Raises `Invalid`.

    The row comes before the Stripe customer, so that an event about that one finds its tenant.
    """
    values.reference(reference)
    values.text(name, "name", 256)
    values.email(email)
    values.metadata(metadata or {})
    fields = {"name": name, "email": email, "metadata": dict(metadata or {})}
    new = insert(customers).values(tenant_id=TENANT, public_id=new_id("ecu"), reference=reference, **fields)
    created = await session.execute(
        new.on_conflict_do_nothing(index_elements=["tenant_id", "reference"]).returning(*_COLUMNS)
    )
    if row := created.one_or_none():
        return _customer(row), True
    differs = or_(*(customers.c[field].is_distinct_from(value) for field, value in fields.items()))
    await session.execute(
        update(customers)
        .where(_OWN, customers.c.reference == reference, differs)
        .values(**fields, updated_at=func.now())
    )
    return await get(session, reference), False


async def bind(session: TenantSession, customer: Customer, stripe_customer: str) -> Customer:
    """Note that *customer* is *stripe_customer* (`cus_…`) at Stripe. Harmless to repeat.

    An event may have told of it meanwhile: that row, which has the subscriptions, then becomes this customer.

    Raises `Conflict` if either is bound to another already.
    """
    try:
        async with session.begin_nested():
            bound = await session.execute(
                update(customers)
                .where(_OWN, customers.c.public_id == customer.public_id)
                .where(func.coalesce(customers.c.stripe_customer, stripe_customer) == stripe_customer)
                .values(stripe_customer=stripe_customer)
                .returning(*_COLUMNS)
            )
    except IntegrityError:
        return await _become(session, customer, stripe_customer)
    if row := bound.one_or_none():
        return _customer(row)
    raise Conflict("This customer is bound to another Stripe customer.", "reference")


async def _become(session: TenantSession, customer: Customer, stripe_customer: str) -> Customer:
    """Give the row that an event made the reserved row's place."""
    twin = _OWN, customers.c.stripe_customer == stripe_customer, customers.c.reference.is_(None)
    found = await session.execute(select(customers.c.id).where(*twin).with_for_update(key_share=True))
    known = found.scalar_one_or_none()
    if known is None:
        raise Conflict(f"{stripe_customer} is bound to another customer.", "reference")
    await hand_over(await session.twin(), customer.id, known)
    await session.execute(delete(customers).where(_OWN, customers.c.public_id == customer.public_id))
    merged = await session.execute(
        update(customers)
        .where(*twin)
        .values({name: getattr(customer, name) for name in _KEPT} | {"updated_at": func.now()})
        .returning(*_COLUMNS)
    )
    return _customer(merged.one())


async def get(session: TenantSession, reference: str) -> Customer:
    """The customer with this reference. Raises `NotFound`."""
    if reference.isprintable():  # PostgreSQL would refuse some other characters, and no reference has any
        found = await session.execute(_select().where(customers.c.reference == reference))
        if row := found.one_or_none():
            return _customer(row)
    raise NotFound("There is no customer with this reference.", "reference")


async def list_page(session: TenantSession, after: str | None = None, limit: int = 20) -> list[Customer]:
    """At most *limit* customers, the oldest first, from the one after the public id *after*. Raises `Invalid`."""
    page = _select().where(customers.c.public_id > values.after(after)).order_by(customers.c.public_id).limit(limit)
    return [_customer(row) for row in await session.execute(page)]


def _select() -> Select[Any]:
    return select(*_COLUMNS).where(_OWN)


def _customer(row: Any) -> Customer:
    return Customer(**row._mapping)


_STRIPE_CUSTOMER: Any = bindparam("stripe_customer")

_NAMED: Any = any_(bindparam("stripe_customers", type_=ARRAY(Text)))
_BY_STRIPE_ID = (
    select(customers.c.id, customers.c.stripe_customer)
    .where(_OWN, customers.c.stripe_customer == _NAMED)
    .order_by(customers.c.stripe_customer)
    .with_for_update(key_share=True)
)
_LOCK_BY_STRIPE_ID = Statement(_BY_STRIPE_ID)
_known = customers.alias("known")
_COUNT_KNOWN = select(func.count()).select_from(_known).where(_known.c.tenant_id == TENANT)
_LOCK_IF_ALL_ARE_KNOWN = Statement(
    _BY_STRIPE_ID.where(
        _COUNT_KNOWN.where(_known.c.stripe_customer == _NAMED).scalar_subquery()
        == func.cardinality(bindparam("stripe_customers", type_=ARRAY(Text)))
    )
)
_MADE = json_rows("made", customers.c.public_id, customers.c.stripe_customer)
_ADD_BY_STRIPE_ID = Statement(
    insert(customers)
    .from_select(
        ["tenant_id", "public_id", "stripe_customer"],
        select(TENANT, _MADE.c.public_id, _MADE.c.stripe_customer).order_by(_MADE.c.stripe_customer),
    )
    .on_conflict_do_nothing(index_elements=["tenant_id", "stripe_customer"])
)
_LOCK = Statement(
    select(customers.c.id)
    .where(_OWN, customers.c.id == any_(bindparam("customers", type_=ARRAY(BigInteger))))
    .order_by(customers.c.id)
    .with_for_update(key_share=True)
)


async def _lock_or_add(tenant: TenantConnection, stripe_customers: Sequence[str]) -> dict[str, int]:
    """The row of each, locked; made, without a reference, if Stripe told of it first. All workers lock in one order.

    So where some are missing, none is locked before those are made: making a row waits for whoever is making the same.
    """
    rows = await tenant.fetch(_LOCK_IF_ALL_ARE_KNOWN, stripe_customers=stripe_customers)
    if len(rows) < len(stripe_customers):
        made = [{"public_id": new_id("ecu"), "stripe_customer": name} for name in stripe_customers]
        tenant.made = await tenant.execute(_ADD_BY_STRIPE_ID, made=as_json(made)) > 0 or tenant.made
        rows = await tenant.fetch(_LOCK_BY_STRIPE_ID, stripe_customers=stripe_customers)
    tenant.held.update(("customer", row["id"]) for row in rows)
    return {row["stripe_customer"]: row["id"] for row in rows}


async def _written_already(_tenant: TenantConnection, _rows: object) -> None:
    """Customers are made when they are asked for."""


BY_STRIPE_ID = Kind(_lock_or_add, _written_already)
"""Internal ids by Stripe's, each row locked, and made if need be."""


async def by_stripe_id(tenant: TenantConnection, stripe_customer: str) -> int:
    """The internal id of this Stripe customer's row, locked; made, without a reference, if Stripe told of it first."""
    found = await tenant.get(BY_STRIPE_ID, stripe_customer)
    if found is None:
        raise NotFound(f"{stripe_customer} was removed meanwhile.")
    return found


async def _lock(tenant: TenantConnection, customer_ids: Sequence[int]) -> dict[int, int]:
    return {row["id"]: row["id"] for row in await tenant.fetch(_LOCK, customers=customer_ids)}


_LOCKED = Kind(_lock, _written_already)


async def lock(tenant: TenantConnection, *customer_ids: int) -> None:
    """Be the only transaction that changes these customers' facts, until it ends. Raises `NotFound`."""
    missing = sorted({customer for customer in customer_ids if ("customer", customer) not in tenant.held})
    if not missing:
        return
    if None in (await tenant.load(_LOCKED, missing)).values():
        raise NotFound("There is no such customer.")
    tenant.held.update(("customer", customer) for customer in missing)


_PUBLIC_ID: Any = bindparam("public_id")
_RESERVED = (_OWN, customers.c.public_id == _PUBLIC_ID)
_LOCK_RESERVED = Statement(
    select(customers.c.id, customers.c.reference, customers.c.stripe_customer).where(*_RESERVED).with_for_update()
)
_BIND = Statement(update(customers).where(*_RESERVED).values(stripe_customer=_STRIPE_CUSTOMER))
_RELEASE = Statement(delete(customers).where(*_RESERVED).returning(*_COLUMNS))
_TAKE_PLACE = Statement(
    update(customers)
    .where(_OWN, customers.c.stripe_customer == _STRIPE_CUSTOMER, customers.c.reference.is_(None))
    .values({name: bindparam(f"kept_{name}") for name in _KEPT} | {"updated_at": func.now()})
)


async def adopt(tenant: TenantConnection, public_id: str, stripe_customer: str) -> int:
    """As `bind`, where an event says that the customer *public_id* is *stripe_customer*. Raises `Conflict`.

    One that is not known (it was removed, or the name is not ours) is as one that Stripe told of first.
    """
    row = await tenant.fetch_one(_LOCK_RESERVED, public_id=public_id)
    if row is None or row["stripe_customer"] == stripe_customer:
        return await by_stripe_id(tenant, stripe_customer)
    if row["stripe_customer"] is not None:
        raise Conflict(f"{public_id} is bound to another Stripe customer than {stripe_customer}.")
    known = await tenant.fetch_one(_LOCK_BY_STRIPE_ID, stripe_customers=[stripe_customer])
    if known is None:
        await tenant.execute(_BIND, public_id=public_id, stripe_customer=stripe_customer)
    else:
        await hand_over(tenant, row["id"], known["id"])
        reserved = await tenant.fetch_one(_RELEASE, public_id=public_id)
        kept = {f"kept_{name}": reserved[name] for name in _KEPT} if reserved else {}
        if not await tenant.execute(_TAKE_PLACE, stripe_customer=stripe_customer, **kept):
            raise Conflict(f"{stripe_customer} is bound to another customer than {public_id}.")
    return await by_stripe_id(tenant, stripe_customer)

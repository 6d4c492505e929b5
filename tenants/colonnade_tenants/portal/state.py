"""What is known of a customer that a visit of the portal may change, read in one statement."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import bindparam, text

from colonnade_tenants.partition import TENANT, Statement, TenantConnection


class Item(Struct, frozen=True):
    """One item of a subscription; a metered one counts as one."""

    id: str
    price: str
    product: str
    quantity: int


class Subscription(Struct, frozen=True):
    """A subscription as mirrored; *pending* are the price and quantity of each item of its next phase."""

    id: str
    status: str
    cancel_at: datetime | None
    schedule: str | None
    on_behalf_of: str | None
    items: list[Item]
    pending: list[dict[str, Any]] = []


class State(Struct, frozen=True):
    """The customer's side of the portal. *details* are digests by field: they tell that one changed, and no more.

    They are empty while no event told of the customer's billing.
    """

    subscriptions: list[Subscription] = []
    payment_methods: list[str] = []
    default_payment_method: str | None = None
    details: dict[str, str] = {}
    tax_ids: list[str] = []


class Traits(Struct, frozen=True):
    """What configuration rules look at."""

    metadata: dict[str, str]
    country: str | None
    plans: list[str]


# As SQL, for statements that bind `:tenant`.
STATE = """
json_build_object(
    'subscriptions', coalesce((
        select json_agg(json_build_object(
            'id', s.id, 'status', s.status, 'cancel_at', s.cancel_at, 'schedule', s.schedule,
            'on_behalf_of', s.on_behalf_of,
            'items', coalesce((
                select json_agg(json_build_object(
                    'id', i.id, 'price', i.price, 'product', i.product, 'quantity', i.quantity) order by i.id)
                from subscription_items i where i.tenant_id = :tenant and i.subscription = s.id), '[]'),
            'pending', coalesce((
                select h.pending_items from subscription_schedules h
                where h.tenant_id = :tenant and h.id = s.schedule and h.pending_start is not null), '[]'::jsonb)
        ) order by s.id)
        from subscriptions s where s.tenant_id = :tenant and s.customer_id = c.id), '[]'),
    'payment_methods', coalesce((
        select json_agg(p.id order by p.id) from payment_methods p
        where p.tenant_id = :tenant and p.customer_id = c.id and not p.gone), '[]'),
    'default_payment_method', b.default_payment_method,
    'details', case when b.id is null then '{}' else json_build_object(
        'name', left(encode(sha256(convert_to(coalesce(b.name, ''), 'UTF8')), 'hex'), 16),
        'email', left(encode(sha256(convert_to(coalesce(b.email, ''), 'UTF8')), 'hex'), 16),
        'phone', left(encode(sha256(convert_to(coalesce(b.phone, ''), 'UTF8')), 'hex'), 16),
        'address', left(encode(sha256(convert_to(coalesce(b.address::text, ''), 'UTF8')), 'hex'), 16)) end,
    'tax_ids', coalesce((
        select json_agg(t.id order by t.id) from tax_ids t
        where t.tenant_id = :tenant and t.customer_id = c.id and not t.gone), '[]')
)::text
"""
FROM = """
from customers c left join billing_details b
    on b.tenant_id = :tenant and b.customer_id = c.id and b.id = c.stripe_customer
where c.tenant_id = :tenant
"""
_TRAITS = Statement(
    text("""
select c.metadata::text as metadata, b.address ->> 'country' as country, array(
    select distinct p.key from subscriptions s
    join subscription_items i on i.tenant_id = :tenant and i.subscription = s.id
    join plans p on p.tenant_id = :tenant and (p.price = i.price or p.product = i.product)
    where s.tenant_id = :tenant and s.customer_id = c.id and s.status not in ('canceled', 'incomplete_expired')
) as plans
from customers c left join billing_details b
    on b.tenant_id = :tenant and b.customer_id = c.id and b.id = c.stripe_customer
where c.tenant_id = :tenant and c.id = :customer
""").bindparams(TENANT)
)
_NOW = Statement(text(f"select {STATE} as state {FROM} and c.id = :customer").bindparams(TENANT, bindparam("customer")))


async def traits(tenant: TenantConnection, customer: int) -> Traits:
    """Those of the customer with this internal id."""
    row = await tenant.fetch_one(_TRAITS, customer=customer)
    if row is None:
        return Traits({}, None, [])
    return Traits(msgspec.json.decode(row["metadata"], type=dict[str, str]), row["country"], row["plans"])


async def now(tenant: TenantConnection, customer: int) -> State:
    """The state of the customer with this internal id."""
    row = await tenant.fetch_one(_NOW, customer=customer)
    return decode(row["state"]) if row else State()


_decoder = msgspec.json.Decoder(State)


def decode(raw: str) -> State:
    """A state from its JSON."""
    return _decoder.decode(raw)


_NAMES = Statement(
    text("select stripe_customer, reference from customers where tenant_id = :tenant and id = :customer").bindparams(
        TENANT
    )
)


async def names(tenant: TenantConnection, customer: int) -> tuple[str | None, str | None]:
    """Stripe's id (`cus_…`) and the tenant's reference of the customer with this internal id."""
    row = await tenant.fetch_one(_NAMES, customer=customer)
    return (row["stripe_customer"], row["reference"]) if row else (None, None)

"""What is known of a customer that a visit of the portal may change, read in one statement."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import ARRAY, BigInteger, Text, bindparam, text

from colonnade_tenants.partition import TENANT, Statement, TenantConnection


class Item(Struct, frozen=True):
    """One item of a subscription; a metered one counts as one."""

    id: str
    price: str
    product: str
    quantity: int


class Subscription(Struct, frozen=True):
    """A subscription as mirrored; *pending* are the price and quantity of each item of its next phase.

    *discounts* (`di_…`) are null while they are not known.
    """

    id: str
    status: str
    cancel_at: datetime | None
    schedule: str | None
    on_behalf_of: str | None
    items: list[Item]
    pending: list[dict[str, Any]] = []
    discounts: list[str] | None = None


class State(Struct, frozen=True):
    """The customer's side of the portal. *details* are digests by field: they tell that one changed, and no more.

    They are empty while no event told of the customer's billing. *invoices*: the status of those that are to be paid.
    """

    subscriptions: list[Subscription] = []
    payment_methods: list[str] = []
    default_payment_method: str | None = None
    details: dict[str, str] = {}
    tax_ids: list[str] = []
    invoices: dict[str, str] = {}


class Traits(Struct, frozen=True):
    """What configuration rules look at."""

    metadata: dict[str, str]
    country: str | None
    plans: list[str]


_NOW = Statement(
    text("select portal_state(:tenant, :customer, :invoices)::text as state").bindparams(
        TENANT, bindparam("customer", type_=BigInteger), bindparam("invoices", type_=ARRAY(Text))
    )
)


async def now(tenant: TenantConnection, customer: int, invoices: Iterable[str] = ()) -> State:
    """The state of the customer with this internal id; also of *invoices* that are not to be paid any more."""
    row = await tenant.fetch_one(_NOW, customer=customer, invoices=list(invoices))
    return decode(row["state"]) if row and row["state"] else State()


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

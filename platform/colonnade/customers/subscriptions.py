"""Starting subscriptions at Stripe, in the tenant's name, and showing what the mirror knows of them."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import select

from colonnade.access.guard import Tenant
from colonnade.accounts.ownership import own
from colonnade.accounts.states import check_open
from colonnade.customers.service import bound
from colonnade.errors import Invalid, NotFound, StripeRefused
from colonnade.services import Services
from colonnade.stripe_api.charges import client_for, subscription_params
from colonnade.stripe_api.client import StripeClient
from colonnade.web import stripe_key
from colonnade_tenants import customers
from colonnade_tenants.billing.schedules import PendingItem
from colonnade_tenants.billing.tables import subscription_schedules
from colonnade_tenants.partition import TENANT, TenantSession
from colonnade_tenants.tables import subscription_items, subscriptions

Price = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,255}$")]
Quantity = Annotated[int, Meta(ge=0, le=999_999_999)]


class NewItem(Struct, frozen=True, forbid_unknown_fields=True):
    """A price, and how many of it: one, unless the price is metered, which has no quantity."""

    price: Price
    quantity: Quantity | None = None


class NewSubscription(Struct, frozen=True, forbid_unknown_fields=True):
    """Either *price* with *quantity*, or *items*.

    *payment_method* (`pm_…`) becomes the customer's default first; without one the customer has to have a default, or
    the first invoice nothing to pay.
    """

    price: Price | None = None
    quantity: Quantity | None = None
    items: Annotated[list[NewItem], Meta(max_length=20)] = []
    trial_period_days: Annotated[int, Meta(ge=1, le=730)] | None = None
    payment_method: Annotated[str, Meta(pattern="^pm_[A-Za-z0-9_]{1,200}$")] | None = None


class ItemView(Struct):
    """One price of a subscription."""

    id: str
    price: str
    product: str
    quantity: int
    current_period_start: datetime
    current_period_end: datetime


class PendingChange(Struct):
    """What a subscription changes to at *starts_at*, unless its schedule is released before."""

    schedule: str
    starts_at: datetime
    items: list[PendingItem]


class SubscriptionView(Struct):
    """A subscription as Stripe said last. It will end where *cancel_at* or *cancel_at_period_end* says so.

    *items* is what it is now; *pending* what a deferred change, such as a downgrade in the portal, will make of it.
    """

    id: str
    status: str
    cancel_at: datetime | None
    cancel_at_period_end: bool
    canceled_at: datetime | None
    ended_at: datetime | None
    trial_end: datetime | None
    items: list[ItemView]
    pending: PendingChange | None = None


async def create(
    services: Services, tenant: Tenant, reference: str, new: NewSubscription, idempotency_key: str | None
) -> SubscriptionView:
    """Start a subscription. Its mirror follows with Stripe's event.

    Raises `Closed`, `Invalid`, `NotFound`, `Conflict`, Stripe's errors.
    """
    check_open(tenant)
    items = _items(new)
    customer, stripe_customer = await bound(services, tenant, reference)
    client = client_for(services.stripe, tenant)
    key = stripe_key("subscription", customer.public_id, given=idempotency_key)
    if new.payment_method is not None:
        await _make_default(client, stripe_customer, new.payment_method, key)
    params = {
        "customer": stripe_customer,
        "items": items,
        "trial_period_days": new.trial_period_days,
        "metadata": {"colonnade_tenant": tenant.public_id, "colonnade_customer": customer.public_id},
        **subscription_params(tenant),
    }
    try:
        reply = await client.post("/v1/subscriptions", params, idempotency_key=key)
    except StripeRefused as error:
        error.param = _as_ours(error, new)
        raise
    async with services.database.tenant(tenant.id) as session:
        await own(session, tenant, reply["id"])
    return _from_stripe(reply)


def _items(new: NewSubscription) -> list[dict[str, Any]]:
    if (new.price is None) == (not new.items):
        raise Invalid("Name a price, or items, not both.", "price")
    if new.items and new.quantity is not None:
        raise Invalid("Each of the items has its own quantity.", "quantity")
    if new.price is not None:
        return [{"price": new.price, "quantity": new.quantity}]
    prices = [item.price for item in new.items]
    for index, price in enumerate(prices):
        if price in prices[:index]:
            raise Invalid("A price is listed twice: use its quantity.", f"items[{index}].price")
    return [{"price": item.price, "quantity": item.quantity} for item in new.items]


async def _make_default(client: StripeClient, customer: str, payment_method: str, key: str) -> None:
    try:
        path = f"/v1/payment_methods/{payment_method}/attach"
        attached = await client.post(path, {"customer": customer}, idempotency_key=f"{key}:attach")
    except NotFound as error:
        # What the body names is missing, not what our own URL names.
        raise StripeRefused(error.message, status=404, code="resource_missing", param="payment_method") from error
    except StripeRefused as error:
        error.param = "payment_method"
        raise
    default = {"invoice_settings": {"default_payment_method": attached["id"]}}
    await client.post(f"/v1/customers/{customer}", default)


def _as_ours(error: StripeRefused, new: NewSubscription) -> str | None:
    """The field of the request that Stripe's refusal is about."""
    if error.param is None and error.code == "resource_missing":
        return "payment_method"  # "This customer has no attached payment source or default payment method"
    if error.param is not None and new.price is not None:
        return error.param.removeprefix("items[0].")
    return error.param


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _from_stripe(reply: dict[str, Any]) -> SubscriptionView:
    return SubscriptionView(
        id=reply["id"],
        status=reply["status"],
        cancel_at_period_end=reply["cancel_at_period_end"],
        cancel_at=_moment(reply.get("cancel_at")),
        canceled_at=_moment(reply.get("canceled_at")),
        ended_at=_moment(reply.get("ended_at")),
        trial_end=_moment(reply.get("trial_end")),
        items=[
            ItemView(
                id=item["id"],
                price=item["price"]["id"],
                product=item["price"]["product"],
                quantity=item.get("quantity", 1),
                current_period_start=datetime.fromtimestamp(item["current_period_start"], UTC),
                current_period_end=datetime.fromtimestamp(item["current_period_end"], UTC),
            )
            for item in reply["items"]["data"]
        ],
    )


async def mirrored(services: Services, tenant: Tenant, reference: str) -> list[SubscriptionView]:
    """The customer's subscriptions as the events told, the oldest first. Raises `NotFound`."""
    async with services.database.tenant(tenant.id) as session:
        customer = await customers.get(session, reference)
        found = select(subscriptions).where(
            subscriptions.c.tenant_id == TENANT, subscriptions.c.customer_id == customer.id
        )
        rows = (await session.execute(found.order_by(subscriptions.c.started_at, subscriptions.c.id))).mappings().all()
        parts = select(subscription_items).where(
            subscription_items.c.tenant_id == TENANT,
            subscription_items.c.subscription.in_([row["id"] for row in rows]),
        )
        items = (await session.execute(parts.order_by(subscription_items.c.id))).mappings().all()
        pending = await _pending(session, customer.id)
    return [
        _from_mirror(row, [item for item in items if item["subscription"] == row["id"]], pending.get(row["id"]))
        for row in rows
    ]


async def _pending(session: TenantSession, customer_id: int) -> dict[str, PendingChange]:
    """The next phases of the customer's schedules, by subscription."""
    table = subscription_schedules.c
    found = select(table.id, table.subscription, table.pending_start, table.pending_items).where(
        table.tenant_id == TENANT,
        table.customer_id == customer_id,
        table.subscription.is_not(None),
        table.pending_start.is_not(None),
    )
    rows = (await session.execute(found.order_by(table.id))).mappings()
    return {
        row["subscription"]: PendingChange(
            row["id"], row["pending_start"], msgspec.convert(row["pending_items"], list[PendingItem])
        )
        for row in rows
    }


def _from_mirror(row: Any, items: list[Any], pending: PendingChange | None) -> SubscriptionView:
    names = [name for name in SubscriptionView.__struct_fields__ if name not in {"items", "pending"}]
    parts = [ItemView(**{name: item[name] for name in ItemView.__struct_fields__}) for item in items]
    return SubscriptionView(**{name: row[name] for name in names}, items=parts, pending=pending)

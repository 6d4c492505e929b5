"""Starting a subscription on Stripe's own page, Checkout, where the customer enters how to pay.

Source: API reference, "Create a Checkout Session"; Stripe's "Create subscriptions with Connect".
"""

from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta, Struct, to_builtins

from colonnade.access.guard import Tenant
from colonnade.accounts.states import check_open
from colonnade.customers.service import bound
from colonnade.customers.subscriptions import Price, Quantity
from colonnade.services import Services
from colonnade.stripe_api.charges import client_for, subscription_params
from colonnade.web import allowed_url, stripe_key

Url = Annotated[str, Meta(max_length=2000)]


class CheckoutItem(Struct, frozen=True, forbid_unknown_fields=True):
    """A price, and how many of it; a metered price has no quantity: null."""

    price: Price
    quantity: Quantity | None = 1


class NewCheckout(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be subscribed to. The URLs are of the tenant's `return_origins`."""

    items: Annotated[list[CheckoutItem], Meta(min_length=1, max_length=20)]
    success_url: Url
    cancel_url: Url | None = None
    trial_period_days: Annotated[int, Meta(ge=1, le=730)] | None = None
    allow_promotion_codes: bool = False


class Checkout(Struct, frozen=True):
    """Send the customer's browser to *url*, before *expires_at*. It is a secret of theirs."""

    url: str
    expires_at: datetime


async def create(
    services: Services, tenant: Tenant, reference: str, new: NewCheckout, idempotency_key: str | None
) -> Checkout:
    """A page on which the customer subscribes. Raises `Closed`, `Invalid`, `NotFound`, `Conflict`, Stripe's errors."""
    check_open(tenant)
    for name in ("success_url", "cancel_url"):
        if (url := getattr(new, name)) is not None:
            allowed_url(url, tenant.return_origins, name)
    customer, stripe_customer = await bound(services, tenant, reference)
    ours = {"colonnade_tenant": tenant.public_id, "colonnade_customer": customer.public_id}
    params: dict[str, Any] = {
        "mode": "subscription",
        "customer": stripe_customer,
        "line_items": [to_builtins(item) for item in new.items],
        "success_url": new.success_url,
        "cancel_url": new.cancel_url,
        "allow_promotion_codes": new.allow_promotion_codes,
        "subscription_data": {
            "metadata": ours,
            "trial_period_days": new.trial_period_days,
            **subscription_params(tenant),
        },
        "metadata": ours,
    }
    key = stripe_key("checkout", customer.public_id, given=idempotency_key)
    reply = await client_for(services.stripe, tenant).post("/v1/checkout/sessions", params, idempotency_key=key)
    return Checkout(reply["url"], datetime.fromtimestamp(reply["expires_at"], UTC))

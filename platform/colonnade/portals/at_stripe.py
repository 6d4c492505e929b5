"""What the preflight needs to know, as Stripe says it now: for what the mirror does not keep, or before saying no."""

import asyncio
from collections.abc import Sequence
from typing import Any

from colonnade.errors import NotFound
from colonnade.portals.facts import Item, Price, Subscription
from colonnade.portals.offers import Offer
from colonnade.portals.preflight import ENDED
from colonnade.stripe_api.client import StripeClient
from colonnade.webhooks.listing import pages
from colonnade_tenants.portal.state import Subscription as Mirrored


def mirrored(found: Sequence[Mirrored], merchant: str | None) -> list[Subscription]:
    """The subscriptions as the events told of them; *merchant*: the account that the portal shows only those of."""
    return [
        Subscription(
            id=each.id,
            status=each.status,
            items=[Item(item.id, item.price, item.product, item.quantity) for item in each.items],
            cancelling=each.cancel_at is not None,
            scheduled=each.schedule is not None,
            pending=bool(each.pending),
            visible=merchant is None or each.on_behalf_of == merchant,
        )
        for each in found
    ]


async def subscriptions(client: StripeClient, customer: str, merchant: str | None) -> list[Subscription]:
    """All of the customer's that have not ended. Raises the client's errors."""
    query = {"customer": customer, "expand": ["data.customer", "data.schedule"]}
    found = [each async for page in pages(client, "/v1/subscriptions", query) for each in page]
    return [_subscription(each, merchant) for each in found if each["status"] not in ENDED]


async def prices(client: StripeClient, offers: Sequence[Offer], found: Sequence[Subscription]) -> dict[str, Price]:
    """Those that the configuration offers and those that the subscriptions have. Raises `StripeUnavailable`."""
    names = {price for offer in offers for price in offer.prices}
    names |= {item.price for each in found for item in each.items}
    read = await asyncio.gather(*(_price(client, name) for name in sorted(names)))
    return {price.id: price for price in read if price is not None}


async def _price(client: StripeClient, name: str) -> Price | None:
    try:
        found = await client.get(f"/v1/prices/{name}", {"expand": ["product", "currency_options"]})
    except NotFound:
        return None
    return Price(
        id=found["id"],
        product=found["product"]["id"],
        active=bool(found["active"] and found["product"].get("active")),
        currencies=frozenset({found["currency"], *(found.get("currency_options") or {})}),
    )


def _subscription(found: dict[str, Any], merchant: str | None) -> Subscription:
    customer, schedule = found["customer"], found["schedule"]
    default = (customer.get("invoice_settings") or {}).get("default_payment_method") or customer.get("default_source")
    by_hand = found["collection_method"] == "send_invoice"
    return Subscription(
        id=found["id"],
        status=found["status"],
        items=[
            Item(item["id"], item["price"]["id"], item["price"]["product"], item.get("quantity"))
            for item in found["items"]["data"]
        ],
        cancelling=found["cancel_at"] is not None,
        scheduled=schedule is not None,
        pending=schedule is not None and _goes_on(schedule),
        visible=merchant is None or found["on_behalf_of"] == merchant,
        flexible=found["billing_mode"]["type"] == "flexible",
        currency=found["currency"],
        payable=bool(by_hand or found["default_payment_method"] or found.get("default_source") or default),
    )


def _goes_on(schedule: dict[str, Any]) -> bool:
    now = (schedule["current_phase"] or {"start_date": -1})["start_date"]
    return any(phase["start_date"] > now for phase in schedule["phases"])

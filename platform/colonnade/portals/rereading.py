"""One read of what a customer may have changed in the portal, for when Stripe's events are late.

What Stripe answers goes through the inbox as if each object had just been updated: there is one way in which facts are
applied, and the late events then are no news.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from colonnade.access.guard import Tenant
from colonnade.services import Services
from colonnade.stripe_api.calls import Priority
from colonnade.stripe_api.charges import client_for, custody
from colonnade.stripe_api.client import StripeClient
from colonnade.webhooks import swept
from colonnade.webhooks.listing import pages, stripe_time
from colonnade_tenants.portal.state import State

_Source = tuple[str, str, dict[str, Any]]
"""A path, the event that its objects are stored as, and what the query says beside the customer."""
_SUBSCRIPTIONS: _Source = ("/v1/subscriptions", "customer.subscription.updated", {"status": "all"})
_SCHEDULES: _Source = ("/v1/subscription_schedules", "subscription_schedule.updated", {})


async def reread(services: Services, tenant: Tenant, visit: str, customer: str, before: State) -> list[str]:
    """Read what Stripe has of *customer* (`cus_…`) now, and store it; the ids of the inbox's rows.

    Raises `NotFound`, `StripeUnavailable`.
    """
    client = client_for(services.stripe, tenant, Priority.PORTAL)
    at = await stripe_time(client)  # before the reads: what changes meanwhile is newer
    found = await asyncio.gather(
        _one(client, customer),
        _listed(client, _SUBSCRIPTIONS, customer),
        _listed(client, _SCHEDULES, customer),
        _kept(client, customer, "payment_methods", "payment_method.updated"),
        _kept(client, customer, "tax_ids", "customer.tax_id.updated"),
        _named(client, before.invoices, "invoices", "invoice.updated"),
    )
    things = [each for part in found for each in part]
    things += _gone(before, {thing["id"] for _, thing in things}, customer)
    # Each read has ids of its own, or the inbox leaves it out. By our clock: a test clock of Stripe's may stand still.
    name = f"reread_{visit}_{time.time_ns() // 1_000_000}"
    events = [_event(f"{name}_{number}", kind, thing, at) for number, (kind, thing) in enumerate(things)]
    live = services.settings.livemode
    rows = [swept.row(event | {"livemode": live}, custody(tenant) or "") for event in events]
    await swept.store(services.database.ingest_pool, rows)
    return [row.event_id for row in rows]


def _event(name: str, kind: str, thing: dict[str, Any], at: datetime) -> dict[str, Any]:
    event = swept.as_event(swept.Source("", kind), thing, at, False)
    if kind == "payment_method.detached":
        event["data"] = {"object": thing | {"customer": None}, "previous_attributes": {"customer": thing["customer"]}}
    return event | {"id": name}


async def _one(client: StripeClient, customer: str) -> list[tuple[str, dict[str, Any]]]:
    return [("customer.updated", await client.get(f"/v1/customers/{customer}"))]


async def _listed(client: StripeClient, source: _Source, customer: str) -> list[tuple[str, dict[str, Any]]]:
    path, kind, query = source
    return [(kind, each) async for page in pages(client, path, {**query, "customer": customer}) for each in page]


async def _kept(client: StripeClient, customer: str, name: str, kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(kind, each) async for page in pages(client, f"/v1/customers/{customer}/{name}", {}) for each in page]


async def _named(client: StripeClient, names: Iterable[str], kind: str, event: str) -> list[tuple[str, dict[str, Any]]]:
    return [(event, thing) for thing in await asyncio.gather(*(client.get(f"/v1/{kind}/{name}") for name in names))]


def _gone(before: State, there: set[str], customer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What was the customer's and is not listed any more."""
    for name in before.payment_methods:
        if name not in there:
            yield "payment_method.detached", {"id": name, "object": "payment_method", "type": "", "customer": customer}
    for name in before.tax_ids:
        if name not in there:
            tax_id = {"country": None, "type": "", "value": "", "verification": None}
            yield "customer.tax_id.deleted", {"id": name, "object": "tax_id", "customer": customer, **tax_id}

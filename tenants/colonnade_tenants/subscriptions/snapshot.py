"""Stripe's subscription object, API version 2026-10-28.endive ("The Subscription object", Stripe API reference).

Only what the mirror keeps is declared. Each field is required, as it is at Stripe: an object of another version, whose
periods for instance are not on the items, fails with the field's path instead of becoming a NULL.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from colonnade_tenants.fields import Reference, Seconds, id_of, moment, optional_id, optional_moment
from colonnade_tenants.order import digest, rewind


class Price(Struct, frozen=True):
    """The price of an item; its product is what the plan may mean."""

    id: str
    product: Reference


class SubscriptionItem(Struct, frozen=True, kw_only=True):
    """One item; a metered one has no quantity, and counts as one."""

    id: str
    price: Price
    quantity: Annotated[int, Meta(ge=0)] | None = None
    current_period_start: Seconds
    current_period_end: Seconds


class ItemList(Struct, frozen=True):
    """The first page of the items."""

    data: list[SubscriptionItem]
    has_more: bool


class PauseCollection(Struct, frozen=True):
    """Invoices are not collected, while the subscription stays `active`; null *resumes_at*: until it is taken back."""

    behavior: str
    resumes_at: Seconds | None = None


class Subscription(Struct, frozen=True):
    """A subscription as an event or a read shows it."""

    id: str
    customer: Reference
    status: str
    start_date: Seconds
    cancel_at: Seconds | None
    cancel_at_period_end: bool
    canceled_at: Seconds | None
    ended_at: Seconds | None
    trial_end: Seconds | None
    schedule: Reference | None
    on_behalf_of: Reference | None
    items: ItemList
    pause_collection: PauseCollection | None = None
    discounts: list[Reference] = []


class Item(Struct, frozen=True):
    """An item, as the mirror keeps it."""

    id: str
    price: str
    product: str
    quantity: int
    current_period_start: datetime
    current_period_end: datetime


class Facts(Struct, frozen=True):
    """A subscription, as the mirror keeps it; items by id. *discounts* (`di_…`): null where they were not kept yet."""

    status: str
    started_at: datetime
    cancel_at: datetime | None
    cancel_at_period_end: bool
    canceled_at: datetime | None
    ended_at: datetime | None
    trial_end: datetime | None
    pause_behavior: str | None
    pause_resumes_at: datetime | None
    schedule: str | None
    on_behalf_of: str | None
    items: tuple[Item, ...]
    discounts: tuple[str, ...] | None = None


_decoder = msgspec.json.Decoder(Subscription)


def decode(raw: bytes | msgspec.Raw) -> Subscription:
    """Raises `msgspec.ValidationError` with the path of what is not as Stripe documents it."""
    return _decoder.decode(raw)


def facts(subscription: Subscription, items: list[SubscriptionItem] | None = None) -> Facts:
    """What the mirror keeps; *items* if they are more than the first page."""
    pause = subscription.pause_collection
    return Facts(
        status=subscription.status,
        started_at=moment(subscription.start_date),
        cancel_at=optional_moment(subscription.cancel_at),
        cancel_at_period_end=subscription.cancel_at_period_end,
        canceled_at=optional_moment(subscription.canceled_at),
        ended_at=optional_moment(subscription.ended_at),
        trial_end=optional_moment(subscription.trial_end),
        pause_behavior=pause.behavior if pause else None,
        pause_resumes_at=optional_moment(pause.resumes_at) if pause else None,
        schedule=optional_id(subscription.schedule),
        on_behalf_of=optional_id(subscription.on_behalf_of),
        items=tuple(sorted(map(_item, subscription.items.data if items is None else items), key=lambda item: item.id)),
        discounts=tuple(sorted(map(id_of, subscription.discounts))),
    )


def before(now: Subscription, previous: Mapping[str, Any]) -> bytes | None:
    """Digest of the facts just before an event; None where it does not tell."""
    try:
        subscription = msgspec.convert(rewind(msgspec.to_builtins(now), previous), Subscription)
    except msgspec.ValidationError:
        return None  # previous attributes need not make a whole object
    return None if subscription.items.has_more else digest(facts(subscription))


def _item(item: SubscriptionItem) -> Item:
    return Item(
        id=item.id,
        price=item.price.id,
        product=id_of(item.price.product),
        quantity=1 if item.quantity is None else item.quantity,
        current_period_start=moment(item.current_period_start),
        current_period_end=moment(item.current_period_end),
    )

"""The notifications' types and bodies, as tenants receive them: `type`, `timestamp` and `data` are as Standard Webhooks
has them ("Payload structure", its specification)."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from colonnade_tenants.readiness import ReadinessState, Requirement
from colonnade_tenants.readiness_words import Party


class CustomerRef(Struct, frozen=True):
    """Whom it is about: *id* is `ecu_…`; *reference* is the tenant's own, null for one that Stripe told of first."""

    id: str
    reference: str | None


class Granted(Struct, frozen=True):
    """One interval of a feature: *value* is null for no limit, *valid_until* (exclusive) null for no end known."""

    kind: str
    value: int | None
    valid_from: datetime
    valid_until: datetime | None
    sources: list[str]


class FeatureChange(Struct, frozen=True):
    """A feature's intervals before and after; empty where it was not, or is no longer, granted."""

    sequence: int
    feature: str
    before: list[Granted]
    after: list[Granted]


class EntitlementChanges(Struct, frozen=True):
    """*cause*: the Stripe event (`evt_…`), or what else changed them. A change's `sequence` counts up by one per
    customer, without gaps."""

    cause: str
    changes: list[FeatureChange]


class SubscriptionItem(Struct, frozen=True):
    """What is subscribed to, and the period that is paid for."""

    id: str
    price: str
    product: str
    quantity: int
    current_period_start: datetime
    current_period_end: datetime


class SubscriptionState(Struct, frozen=True):
    """The subscription as it is now; *status* is Stripe's. *event* brought the news."""

    id: str
    event: str
    status: str
    started_at: datetime
    cancel_at: datetime | None
    cancel_at_period_end: bool
    canceled_at: datetime | None
    ended_at: datetime | None
    trial_end: datetime | None
    items: list[SubscriptionItem]


class AccountReadiness(Struct, frozen=True):
    """What the tenant's account may do now, and what is still due. *event* brought the news; `read`: a look at Stripe.

    *reason*: why it is not `ready`, in a sentence; *waits_for*: who has to act; *deadline*: the earliest there is.
    *previous_state*: null for the first that is known.
    """

    account: str
    event: str
    state: ReadinessState
    previous_state: ReadinessState | None
    requirements: list[Requirement]
    reason: str | None = None
    waits_for: list[Party] = []
    deadline: datetime | None = None


class DisabledEndpoint(Struct, frozen=True):
    """The endpoint that was given up, and why. It stays so until it is enabled again."""

    endpoint: str
    url: str
    reason: str


class Nothing(Struct, frozen=True):
    """No data."""


class _Body(Struct, frozen=True, tag_field="type", kw_only=True):
    """*id* is also the header `webhook-id`: the same at every try. *number* counts up by one per customer, or per
    tenant where it is about no customer."""

    id: str
    timestamp: datetime
    number: int
    customer: CustomerRef | None = None


class EntitlementsChanged(_Body, frozen=True, tag="entitlements.changed", kw_only=True):
    """What a customer may use has changed."""

    data: EntitlementChanges


class SubscriptionChanged(_Body, frozen=True, tag="subscription.changed", kw_only=True):
    """A customer's subscription has begun, changed or ended."""

    data: SubscriptionState


class TenantReadinessChanged(_Body, frozen=True, tag="tenant.readiness.changed", kw_only=True):
    """What the tenant's account may do, or what Stripe still wants of it, has changed."""

    data: AccountReadiness


class EndpointDisabled(_Body, frozen=True, tag="notification_endpoint.disabled", kw_only=True):
    """An endpoint failed for too long, or answered 410, and was disabled."""

    data: DisabledEndpoint


class Ping(_Body, frozen=True, tag="ping", kw_only=True):
    """A test, for the one endpoint that it was asked for."""

    data: Nothing


Body = EntitlementsChanged | SubscriptionChanged | TenantReadinessChanged | EndpointDisabled | Ping
BODIES: tuple[Any, ...] = (EntitlementsChanged, SubscriptionChanged, TenantReadinessChanged, EndpointDisabled, Ping)


def type_of(body: Any) -> str:
    """The value of `type` in such a body."""
    found: str = body.__struct_config__.tag
    return found


TYPES: dict[str, Any] = {type_of(body): body for body in BODIES}
ON_REQUEST = type_of(Ping)
"""Sent only where it is asked for, whatever types an endpoint wants."""

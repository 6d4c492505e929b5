"""What is told of each kind of change."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Protocol

import msgspec

from colonnade_tenants.notifications import payloads
from colonnade_tenants.notifications.outbox import Note
from colonnade_tenants.readiness import Readiness, ReadinessState

_ENTITLEMENTS_CHANGED = payloads.type_of(payloads.EntitlementsChanged)
_SUBSCRIPTION_CHANGED = payloads.type_of(payloads.SubscriptionChanged)


class Row(Protocol):
    """A feature's value in an interval."""

    @property
    def kind(self) -> str: ...
    @property
    def value(self) -> int | None: ...
    @property
    def valid_from(self) -> datetime: ...
    @property
    def valid_until(self) -> datetime | None: ...
    @property
    def sources(self) -> Sequence[str]: ...


class Change(Protocol):
    """A feature's rows before and after, and what caused it."""

    @property
    def sequence(self) -> int: ...
    @property
    def feature(self) -> str: ...
    @property
    def before(self) -> Sequence[Row]: ...
    @property
    def after(self) -> Sequence[Row]: ...
    @property
    def cause(self) -> str: ...


def entitlements_changed(changes: Mapping[int, Sequence[Change]]) -> list[Note]:
    """Of customers (internal ids): one note for each cause, in the order of the changes."""
    return [
        Note(_ENTITLEMENTS_CHANGED, payloads.EntitlementChanges(cause, [_told(change) for change in caused]), customer)
        for customer, of_customer in changes.items()
        for cause, caused in groupby(of_customer, key=lambda change: change.cause)
    ]


def _told(change: Change) -> payloads.FeatureChange:
    return payloads.FeatureChange(change.sequence, change.feature, _granted(change.before), _granted(change.after))


def _granted(rows: Sequence[Row]) -> list[payloads.Granted]:
    # By hand: a plan's change tells of millions of rows, and msgspec's conversion costs several times as much.
    return [payloads.Granted(row.kind, row.value, row.valid_from, row.valid_until, list(row.sources)) for row in rows]


def subscription_changed(customer: int, subscription: str, event: str, facts: msgspec.Struct) -> Note:
    """Of a subscription as it is mirrored now."""
    state = {**msgspec.structs.asdict(facts), "id": subscription, "event": event}
    data = msgspec.convert(state, payloads.SubscriptionState, from_attributes=True)
    return Note(_SUBSCRIPTION_CHANGED, data, customer)


def readiness_changed(
    account: str, event: str, old: Readiness, new: Readiness, before: ReadinessState | None
) -> list[Note]:
    """Of a connected account; nothing where neither the word nor what is due differs. *before*: None for the first."""
    if (old.state, old.requirements) == (new.state, new.requirements):
        return []
    data = payloads.AccountReadiness(
        account, event, new.state, before, new.requirements, new.reason, new.waits_for, new.deadline
    )
    return [Note(payloads.type_of(payloads.TenantReadinessChanged), data)]


def endpoint_disabled(endpoint: str, url: str, reason: str) -> Note:
    """Of an endpoint that was given up."""
    return Note(payloads.type_of(payloads.EndpointDisabled), payloads.DisabledEndpoint(endpoint, url, reason))


def ping(endpoint: int) -> Note:
    """A test for one endpoint (internal id)."""
    return Note(payloads.ON_REQUEST, payloads.Nothing(), endpoint=endpoint)

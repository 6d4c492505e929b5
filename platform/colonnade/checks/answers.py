"""How the answer to a check is written: the part that is kept as bytes, and the end that every request gets anew."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from colonnade_tenants.entitlements import CheckedEntitlement, CheckResult

CUSTOMERS = 100
"""In one batch."""
FEATURES = 100
"""In one batch."""


class _AsOf(Struct, kw_only=True):
    as_of: datetime
    events_complete_until: datetime | None


class EntitlementCheck(CheckedEntitlement, frozen=True, kw_only=True):
    """One feature of a customer, and up to when that is known.

    *as_of*: it held at that moment by the database's clock, at most a second ago. *events_complete_until*: no event of
    Stripe's about the tenant is missing up to then, by Stripe's clock; null: no sweep has looked yet.
    """

    as_of: datetime
    events_complete_until: datetime | None


class Entitlements(_AsOf):
    """What the customer may use, by feature, and up to when that is known: see a single check."""

    data: list[CheckedEntitlement]


class CheckRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a batch is about, by reference; *features* null: what each of them may use."""

    customers: Annotated[list[str], Meta(min_length=1, max_length=CUSTOMERS)]
    features: Annotated[list[str], Meta(min_length=1, max_length=FEATURES)] | None = None


class CustomerEntitlements(Struct):
    """One customer of a batch: what it may use or, of the features that were named, whether it may."""

    customer: str
    data: list[CheckedEntitlement]


class EntitlementChecks(_AsOf):
    """The customers in the order of the request, and the references of those whom the tenant does not have."""

    data: list[CustomerEntitlements]
    unknown: list[str]


class Answers(Struct, frozen=True):
    """What is kept of one customer: each feature as JSON without its end, and the names of those that are granted."""

    customer_id: int
    features: dict[str, bytes]
    granted: tuple[str, ...]
    as_of: datetime
    complete_until: datetime | None
    on_platform: bool

    @property
    def size(self) -> int:
        """Bytes in memory, about: beside the JSON, two strings and two references for each feature (measured)."""
        return sum(len(written) + 200 for written in self.features.values())

    def feature(self, name: str) -> bytes | None:
        """A single check, but for its end; None: the tenant has no such feature."""
        written = self.features.get(name)
        return written and written[:-1]

    def all_granted(self) -> bytes:
        """All that is granted, but for the end."""
        return b'{"data":' + self.array(self.granted)

    def array(self, names: "tuple[str, ...] | list[str]") -> bytes:
        """These features."""
        return b"[" + b",".join([self.features[name] for name in names]) + b"]"


def answers(result: CheckResult) -> Answers:
    """What to keep of *result*."""
    return Answers(
        customer_id=result.customer_id,
        features={each.feature: msgspec.json.encode(each) for each in result.entitlements},
        granted=tuple(each.feature for each in result.entitlements if each.granted),
        as_of=result.as_of,
        complete_until=result.complete_until,
        on_platform=result.on_platform,
    )


def end(as_of: datetime, complete_until: datetime | None) -> bytes:
    """The end of an answer: up to when it is known."""
    return b',"as_of":%b,"events_complete_until":%b}' % (
        msgspec.json.encode(as_of),
        msgspec.json.encode(complete_until),
    )

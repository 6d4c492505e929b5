"""Reading ahead: what the handlers of several events will ask for is read in one statement for each kind of row.

A handler that does not say what it reads works as well, in more round trips.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from colonnade_tenants import customers
from colonnade_tenants.partition import Kind, TenantConnection

H = TypeVar("H", bound=Callable[..., Any])


class Reads(NamedTuple):
    """Kinds of rows by the id of an event's object, and by the internal id of its customer, who is made if need be."""

    objects: Sequence[Kind[str, Any]] = ()
    customers: Sequence[Kind[int, Any]] = ()


class Named(NamedTuple):
    """What an event names: its object, and the Stripe customer (`cus_…`)."""

    handler: Callable[..., Any] | None
    object: str
    customer: str


def reads(*, objects: Sequence[Kind[str, Any]] = (), customers: Sequence[Kind[int, Any]] = ()) -> Callable[[H], H]:
    """Say what the decorated handler reads."""

    def said(handler: H) -> H:
        handler.reads = Reads(objects, customers)  # type: ignore[attr-defined]
        return handler

    return said


async def read_ahead(tenant: TenantConnection, named: Iterable[Named]) -> None:
    """Read what the handlers say that they read; customers first, as locks are taken in that order."""
    wanted: list[tuple[Reads, Named]] = [
        (said, each) for each in named if (said := getattr(each.handler, "reads", None)) is not None
    ]
    owners = await tenant.load(customers.BY_STRIPE_ID, sorted({each.customer for _, each in wanted if each.customer}))
    keys: dict[Kind[Any, Any], list[object]] = defaultdict(list)
    for said, each in wanted:
        for by_object in said.objects:
            keys[by_object].append(each.object)
        owner = owners.get(each.customer)
        for by_customer in said.customers if owner is not None else ():
            keys[by_customer].append(owner)
    for kind, found in keys.items():
        await tenant.load(kind, found)

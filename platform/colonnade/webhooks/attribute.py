"""Which tenant an event belongs to: one ladder, whose rungs must not disagree.

`clues` reads what the event itself names, `decide` compares that with what we know; both are pure. The rungs, strongest
first: the event's `account`, the object's `on_behalf_of`, its `transfer_data.destination`, then the subscription,
portal configuration or customer that is known to be a tenant's, and last our own metadata, which is only a hint.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from msgspec import Struct

Kind = Literal["account", "object", "tenant"]

_ROOMS = ("", "default_settings.", "parent.subscription_details.")
"""Where below an object the same fields are found: subscription schedules, invoices."""

_PATHS: tuple[tuple[str, Kind, tuple[str, ...]], ...] = (
    ("on_behalf_of", "account", tuple(f"{room}on_behalf_of" for room in _ROOMS)),
    ("transfer_data.destination", "account", tuple(f"{room}transfer_data.destination" for room in _ROOMS)),
    ("subscription", "object", tuple(f"{room}subscription" for room in _ROOMS)),
    ("configuration", "object", ("configuration",)),
    ("customer", "object", ("customer",)),
    ("metadata", "tenant", tuple(f"{room}metadata.colonnade_tenant" for room in _ROOMS)),
)
_OWN_ID: dict[str, tuple[str, Kind]] = {
    "acct": ("account", "account"),
    "sub": ("subscription", "object"),
    "bpc": ("configuration", "object"),
    "cus": ("customer", "object"),
}
"""What the object itself is, by the prefix of its id."""

_ORDER = ("account", *(rung for rung, _, _ in _PATHS))


class Clue(NamedTuple):
    """*key* names a tenant, if *kind* of thing with that key is known: `acct_…`, `sub_…`, `ten_…`."""

    rung: str
    kind: Kind
    key: str


class Known(Struct):
    """What is known of the clues: the tenants' ids by account, by Stripe object, and by their own public id."""

    account: dict[str, int]
    object: dict[str, int]
    tenant: dict[str, int]
    creating: bool = False
    """Whether a tenant is just being created, so that an account may be known in a moment."""

    def named_by(self, clue: Clue) -> int | None:
        """The tenant that *clue* names."""
        places = {"account": self.account, "object": self.object, "tenant": self.tenant}
        return places[clue.kind].get(clue.key)


class Attribution(NamedTuple):
    """The event is this tenant's; *rung* is the strongest that says so."""

    tenant_id: int
    rung: str


class Waiting(NamedTuple):
    """Nothing names a tenant yet."""

    reason: str


class Quarantine(NamedTuple):
    """Nothing may be done with the event before someone has looked at it."""

    reason: str


def clues(
    account: str | None, thing: Mapping[str, Any], previous: Mapping[str, Any] | None = None, related: str | None = None
) -> list[Clue]:
    """What an event names, strongest first.

    *thing* is its `data.object`, *previous* its `previous_attributes`, *related* the id that a thin event has instead.
    """
    found = {Clue("account", "account", account)} if account else set()
    found.update(_of_itself(_id(thing) or related))
    found.update(_of_fields(thing))
    # A payment method that was detached names its customer only there.
    if customer := _id((previous or {}).get("customer")):
        found.add(Clue("customer", "object", customer))
    return sorted(found, key=lambda clue: (_ORDER.index(clue.rung), clue.key))


def _of_itself(own: str | None) -> Iterator[Clue]:
    prefix = (own or "").partition("_")[0]
    if own and prefix in _OWN_ID:
        yield Clue(*_OWN_ID[prefix], own)


def _of_fields(thing: Mapping[str, Any]) -> Iterator[Clue]:
    for rung, kind, paths in _PATHS:
        for path in paths:
            if key := _id(_at(thing, path)):
                yield Clue(rung, kind, key)


def _at(thing: Any, path: str) -> Any:
    for name in path.split("."):
        thing = thing.get(name) if isinstance(thing, Mapping) else None
    return thing


def _id(value: Any) -> str | None:
    """Of a reference, which is an id or the whole object."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def decide(
    endpoint: str, account: str | None, found: Iterable[Clue], known: Known
) -> Attribution | Waiting | Quarantine:
    """The tenant that all rungs agree on."""
    if endpoint == "platform" and account:
        return Quarantine(f"{account} is a connected account, and the event came to the platform endpoint")
    if endpoint == "connect" and not account:
        return Quarantine("the event names no account, and it came to the Connect endpoint")
    tenants = [(clue, known.named_by(clue)) for clue in found]
    unknown = [clue for clue, tenant in tenants if clue.kind == "account" and tenant is None]
    named = [(clue, tenant) for clue, tenant in tenants if tenant is not None]
    if unknown:
        reason = f"{unknown[0].rung} names {unknown[0].key}, which is no tenant's account"
        return Waiting(reason) if known.creating and not named else Quarantine(reason)
    if not named:
        return Waiting("nothing in the event names a tenant")
    (first, tenant), *others = named
    for clue, other in others:
        if other != tenant:
            return Quarantine(f"{first.rung} ({first.key}) and {clue.rung} ({clue.key}) name different tenants")
    return Attribution(tenant, first.rung)

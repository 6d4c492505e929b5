"""What an event names: accounts, objects, tenants, what plans sell. Whose it is by that, `attribute` decides."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from colonnade.stripe_api.charges import qualified

Kind = Literal["account", "object", "tenant", "plan"]

_PATHS: tuple[tuple[str, Kind, tuple[str, ...]], ...] = (
    ("on_behalf_of", "account", ("on_behalf_of", "default_settings.on_behalf_of", "phases[].on_behalf_of")),
    (
        "transfer_data.destination",
        "account",
        (
            "transfer_data.destination",
            "default_settings.transfer_data.destination",
            "phases[].transfer_data.destination",
        ),
    ),
    ("subscription", "object", ("subscription", "parent.subscription_details.subscription")),
    ("configuration", "object", ("configuration",)),
    ("customer", "object", ("customer",)),
    (
        "metadata",
        "tenant",
        ("metadata.colonnade_tenant", "parent.subscription_details.metadata.colonnade_tenant"),
    ),
)
"""Where an object names something: a subscription or invoice itself, a schedule's settings, an invoice's parent."""
_OWN_ID: dict[str, tuple[str, Kind, str]] = {
    "acct": ("account", "account", "account"),
    "sub": ("subscription", "object", "subscription"),
    "bpc": ("configuration", "object", "billing_portal.configuration"),
    "cus": ("customer", "object", "customer"),
}
"""What the object itself is, by the prefix of its id. A product's id may begin like that too: its `object` tells."""
_OF_ACCOUNT = frozenset({"capability", "person"})
"""Objects that are part of an account, which they name as `account`."""
_CATALOGUE = frozenset({"product", "price", "plan", "coupon", "promotion_code"})

_PLACES = {rung: place for place, rung in enumerate(("account", *(rung for rung, _, _ in _PATHS), "catalogue"))}


class Clue(NamedTuple):
    """*key* names a tenant, if *kind* of thing with that key is known: `acct_…`, `sub_…`, `ten_…`.

    An object on a connected account is named with it (`acct_…/sub_…`).
    """

    rung: str
    kind: Kind
    key: str


def clues(
    account: str | None, thing: Mapping[str, Any], previous: Mapping[str, Any] | None = None, related: str | None = None
) -> list[Clue]:
    """What an event names, strongest first.

    *thing* is its `data.object`, *previous* its `previous_attributes`, *related* the id that a thin event has instead.
    """
    found = {Clue("account", "account", account)} if account else set()
    found.update(_of_itself(thing, related))
    found.update(_of_fields(thing))
    # A payment method that was detached names its customer only there.
    if customer := _id((previous or {}).get("customer")):
        found.add(Clue("customer", "object", customer))
    if not account:
        found.update(_of_catalogue(thing))
    if account:
        found = {clue._replace(key=qualified(account, clue.key)) if clue.kind == "object" else clue for clue in found}
    return sorted(found, key=_by_strength)


def _by_strength(clue: Clue) -> tuple[int, str]:
    return _PLACES[clue.rung], clue.key


def _of_itself(thing: Mapping[str, Any], related: str | None) -> Iterator[Clue]:
    own = _id(thing) or related
    rung, kind, name = _OWN_ID.get((own or "").partition("_")[0], ("", "object", ""))
    if own and rung and thing.get("object", name) == name:
        yield Clue(rung, kind, own)
    if thing.get("object") in _OF_ACCOUNT and (account := _id(thing.get("account"))):
        yield Clue("account", "account", account)


def _of_fields(thing: Mapping[str, Any]) -> Iterator[Clue]:
    for rung, kind, steps in _STEPS:
        if steps[0][0] in thing:
            for value in _at(thing, steps):
                if key := _id(value):
                    yield Clue(rung, kind, key)


def _steps(path: str) -> tuple[tuple[str, bool], ...]:
    """The names on the path, and whether it goes through every entry of the list there (`name[]`)."""
    return tuple((name.removesuffix("[]"), name.endswith("[]")) for name in path.split("."))


_STEPS = tuple((rung, kind, _steps(path)) for rung, kind, paths in _PATHS for path in paths)


def _of_catalogue(thing: Mapping[str, Any]) -> Iterator[Clue]:
    if thing.get("object") in _CATALOGUE:
        for value in (thing, thing.get("product")):
            if key := _id(value):
                yield Clue("catalogue", "plan", key)


def _at(thing: Any, steps: Iterable[tuple[str, bool]]) -> list[Any]:
    """What is at the end of the path."""
    found = [thing]
    for name, each in steps:
        found = [entry.get(name) for entry in found if isinstance(entry, dict)]
        if each:
            found = [entry for entries in found if isinstance(entries, list) for entry in entries]
    return found


def _id(value: Any) -> str | None:
    """Of a reference, which is an id or the whole object."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) and value else None

"""What differs between two configurations, field by field."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from colonnade.portals.settings import Features, PortalSettings
from colonnade.portals.states import State

NOTHING = State(True, PortalSettings(features=Features()))
"""What a configuration is before anything is switched on."""
_PRODUCTS = "settings.features.subscription_update.products"


class Difference(msgspec.Struct, frozen=True):
    """*field* is a path in the settings, products by id: `features.subscription_update.products[prod_1].prices`."""

    field: str
    before: Any
    after: Any


def differences(before: State, after: State) -> list[Difference]:
    """By field, in order. Nothing differs where the two do the same."""
    old, new = (dict(_flat("", msgspec.to_builtins(each))) for each in (before, after))
    return [
        Difference(name.removeprefix("settings."), old.get(name), new.get(name))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if path == _PRODUCTS:
        for product in value:
            name = product["product"] or product["plan"]
            yield from _flat(f"{path}[{name}]", {key: product[key] for key in ("prices", "adjustable_quantity")})
    elif isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(f"{path}.{name}" if path else name, inner)
    elif value != {}:
        yield path, value

"""A portal configuration as Stripe has it, in the words of the settings."""

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from colonnade.errors import Conflict
from colonnade.portals.canonical import canonical
from colonnade.portals.content import Content
from colonnade.portals.rules import RESERVED
from colonnade.portals.settings import PortalProduct, PortalSettings
from colonnade.portals.states import State

EXPAND = ["features.subscription_update.products"]
"""Stripe leaves the products out unless asked."""


def read(configuration: Mapping[str, Any]) -> State:
    """What Stripe's object says, read with `EXPAND`; what only replies have is left out.

    Raises `Conflict` for a value that this version of Colonnade does not know.
    """
    known = _known(configuration, PortalSettings)
    known["metadata"] = {key: value for key, value in configuration["metadata"].items() if key not in RESERVED}
    try:
        settings = msgspec.convert(known, PortalSettings)
    except msgspec.ValidationError as error:
        raise Conflict(f"Stripe's configuration has something that is not known here: {error}") from error
    return State(configuration["active"], canonical(settings))


def wanted(content: Content, products: list[dict[str, Any]]) -> State:
    """What Stripe shall have: *content*, with the *products* that its offers are."""
    features = content.settings.features
    listed = tuple(msgspec.convert(each, PortalProduct) for each in products)
    update = replace(features.subscription_update, products=listed)
    settings = replace(content.settings, features=replace(features, subscription_update=update))
    return State(content.active, canonical(settings))


def ours(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Of its metadata, what Colonnade wrote."""
    return {key: value for key, value in configuration["metadata"].items() if key in RESERVED}


def _known(value: Mapping[str, Any], kind: type[Struct]) -> dict[str, Any]:
    """The fields that *kind* has, and are set: replies have more, such as `login_page.url`."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        given = value.get(field.encode_name)
        if given is None:
            continue
        inner = _struct(field.type)
        if inner and isinstance(given, list):
            given = [_known(each, inner) for each in given]
        elif inner:
            given = _known(given, inner)
        found[field.encode_name] = given
    return found


def _struct(annotation: Any) -> type[Struct] | None:
    """The struct in a field's type: `X`, `X | None`, `tuple[X, ...]`, annotated or not."""
    if isinstance(annotation, type) and issubclass(annotation, Struct):
        return annotation
    return next((found for each in get_args(annotation) if (found := _struct(each))), None)

"""The link that a customer comes back by: it names the visit, and nobody can make up another."""

from typing import NamedTuple

from colonnade import secret_keys
from colonnade.errors import NotFound

PATH = "/portal/return"


class Place(NamedTuple):
    """A visit (`pvi_…`) of a tenant (`ten_…`)."""

    tenant: str
    visit: str


def link(base_url: str, place: Place, secret_key: str, *, done: bool = False) -> str:
    """The URL; *done*: the one that the flow's own redirect takes."""
    return f"{base_url}{PATH}/{token(place, secret_key)}" + ("/done" if done else "")


def token(place: Place, secret_key: str) -> str:
    """What names the visit; the same every time, so that a repeated request asks Stripe for the same session."""
    return f"{place.tenant}.{place.visit}.{secret_keys.mac(secret_key, _said(place))}"


def verify(text: str, secret_key: str) -> Place:
    """The visit that *text* names. Raises `NotFound`."""
    parts = text.split(".")
    if len(parts) == 3 and text.isascii():
        place = Place(parts[0], parts[1])
        if secret_keys.is_mac(secret_key, parts[2], _said(place)):
            return place
    raise NotFound("This link does not work.")


def _said(place: Place) -> str:
    return f"portal return\0{place.tenant}\0{place.visit}"

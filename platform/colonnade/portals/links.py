"""The link that a customer comes back by: it names the visit, and nobody can make up another."""

import hashlib
import hmac
from typing import NamedTuple

from colonnade.errors import NotFound

PATH = "/portal/return"
_LENGTH = 32  # hex digits of 128 bits


class Place(NamedTuple):
    """A visit (`pvi_…`) of a tenant (`ten_…`)."""

    tenant: str
    visit: str


def link(base_url: str, place: Place, secret_key: str, *, done: bool = False) -> str:
    """The URL; *done*: the one that the flow's own redirect takes."""
    return f"{base_url}{PATH}/{token(place, secret_key)}" + ("/done" if done else "")


def token(place: Place, secret_key: str) -> str:
    """What names the visit; the same every time, so that a repeated request asks Stripe for the same session."""
    return f"{place.tenant}.{place.visit}.{_mac(place, secret_key)}"


def verify(text: str, secret_key: str) -> Place:
    """The visit that *text* names. Raises `NotFound`."""
    parts = text.split(".")
    if len(parts) == 3 and text.isascii():
        place = Place(parts[0], parts[1])
        if hmac.compare_digest(parts[2], _mac(place, secret_key)):
            return place
    raise NotFound("This link does not work.")


def _mac(place: Place, secret_key: str) -> str:
    said = f"portal return\0{place.tenant}\0{place.visit}"
    return hmac.digest(secret_key.encode(), said.encode(), hashlib.sha256).hex()[:_LENGTH]

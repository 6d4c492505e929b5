"""Portal tokens: what a tenant's page gives its customer's browser, good for one customer and a few minutes."""

import time
from typing import Any

import jwt
import msgspec

from colonnade import secret_keys
from colonnade.errors import Unauthenticated
from colonnade_tenants.ids import new_id

LIFETIME = 15 * 60
"""Seconds that a token is good for."""

_AUDIENCE = "colonnade:portal"


class PortalToken(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which portal the bearer may open: the tenant's id, its customer's reference, its choices for the session.

    *origin*: of the page that may post it; null: any of the tenant's. A token opens one session, known by *id*.
    """

    tenant: str
    customer: str
    session: dict[str, Any] = {}
    origin: str | None = None
    id: str = msgspec.field(default_factory=lambda: new_id("ptk"))


def issue(token: PortalToken, secret_key: str, now: float | None = None) -> tuple[str, int]:
    """*token* signed, and when it expires (Unix seconds)."""
    expires = int(now if now is not None else time.time()) + LIFETIME
    return secret_keys.signed(secret_key, _AUDIENCE, expires, {"portal": msgspec.to_builtins(token)}), expires


def verify(text: str, secret_key: str) -> PortalToken:
    """What *text* allows. Raises `Unauthenticated`."""
    try:
        claims = secret_keys.said(secret_key, text, _AUDIENCE, ["portal"])
        return msgspec.convert(claims["portal"], PortalToken)
    except (jwt.PyJWTError, msgspec.ValidationError) as error:
        raise Unauthenticated("This link has expired; go back and open it again.", "token") from error

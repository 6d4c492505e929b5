"""Portal tokens: what a tenant's page gives its customer's browser, good for one customer and a few minutes."""

import time
from typing import Any

import jwt
import msgspec

from colonnade.errors import Unauthenticated
from colonnade_tenants.ids import new_id

LIFETIME = 15 * 60
"""Seconds that a token is good for."""

_ALGORITHM = "HS256"
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
    claims: dict[str, Any] = {"aud": _AUDIENCE, "exp": expires, "portal": msgspec.to_builtins(token)}
    return jwt.encode(claims, secret_key, _ALGORITHM), expires


def verify(text: str, secret_key: str) -> PortalToken:
    """What *text* allows. Raises `Unauthenticated`."""
    try:
        claims = jwt.decode(
            text, secret_key, [_ALGORITHM], audience=_AUDIENCE, options={"require": ["exp", "aud", "portal"]}
        )
        return msgspec.convert(claims["portal"], PortalToken)
    except (jwt.PyJWTError, msgspec.ValidationError) as error:
        raise Unauthenticated("This link has expired; go back and open it again.", "token") from error

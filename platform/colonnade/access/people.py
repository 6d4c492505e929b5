"""People of the platform team, by the tokens of their identity provider (OpenID Connect).

The token is a JWT that the provider signed for us: its algorithm is one of `ALGORITHMS` and the key's own, its issuer
and audience are ours, and it has not expired. Which role a person has, a claim says.
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt

from colonnade.access.provider_keys import ProviderKeys
from colonnade.access.scopes import Role
from colonnade.errors import Forbidden, Unauthenticated

LEEWAY = 30
"""Seconds that the provider's clock may differ from ours."""
LONGEST_LIFE = 86_400
"""Seconds that a token is good for at most, whatever it says: a person is not revoked here, but at the provider."""
LONGEST_NAME = 320
"""Letters of a person's name: of an e-mail address (RFC 5321)."""


class Person(NamedTuple):
    """*name*: the e-mail address if the provider verified it, else the subject. *expires*: Unix time."""

    name: str
    role: Role
    expires: float


def is_token(text: str) -> bool:
    """Whether *text* has the form of a JWT, which no API key has."""
    return text.count(".") == 2 and not text.startswith("col_")


class People:
    """Who a token is. *roles* are the values of the claim that stand for a role."""

    def __init__(self, keys: ProviderKeys, *, audience: str, role_claim: str, roles: Mapping[str, Role]) -> None:
        self._keys = keys
        self._audience = audience
        self._role_claim = role_claim
        self._roles = roles

    async def identify(self, token: str) -> Person:
        """Raises `Unauthenticated`, `Forbidden` for who has no role here, `Unavailable` without the provider's keys."""
        claims = await self._claims(token)
        role = self._role(claims)
        if role is None:
            raise Forbidden("The identity provider gives you no role here.")
        return Person(_name(claims), role, int(claims["exp"]))

    async def _claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.get(header.get("kid"))
            if key is None or header.get("alg") != key.algorithm_name:
                raise Unauthenticated("This token is not valid.")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._keys.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        # PyJWT lets some errors of other kinds through where a token is made to be odd.
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise Unauthenticated("This token is not valid.") from error
        if int(claims["exp"]) > time.time() + LONGEST_LIFE + LEEWAY:
            raise Unauthenticated("This token lasts longer than a day.")
        return claims

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        """The first of `Role` that the claim gives: the most powerful."""
        said = _claim(claims, self._role_claim)
        values = said if isinstance(said, list) else [said]
        found = {self._roles[value] for value in values if isinstance(value, str) and value in self._roles}
        return next((role for role in Role if role in found), None)


def _name(claims: Mapping[str, Any]) -> str:
    mail = claims.get("email")
    name: str = mail if isinstance(mail, str) and claims.get("email_verified") is True else claims["sub"]
    if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        raise Unauthenticated("This token is not valid.")
    return name


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of this name, be it a URL with dots; else the one at this path (`realm_access.roles`)."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found

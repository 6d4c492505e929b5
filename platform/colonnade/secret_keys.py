"""`COLONNADE_SECRET_KEY`: one key or several, the newest first, separated by commas.

The newest signs and encrypts; what an older one signed or encrypted is taken as well. So a key is replaced while links
that it signed are on their way, and what it encrypted is encrypted anew by `colonnade reencrypt`.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import jwt

ALGORITHM = "HS256"


def accepted(secret_key: str) -> list[str]:
    """The single keys, the newest first."""
    return secret_key.split(",")


def signed(secret_key: str, audience: str, expires: int, claims: Mapping[str, Any]) -> str:
    """A token that says *claims* to *audience* until *expires* (Unix seconds)."""
    return jwt.encode({"aud": audience, "exp": expires, **claims}, accepted(secret_key)[0], ALGORITHM)


def said(secret_key: str, token: str, audience: str, require: Sequence[str]) -> dict[str, Any]:
    """What *token* says, if we signed it for *audience*. Raises `jwt.PyJWTError`, also where a claim is missing."""
    options: Any = {"require": ["exp", "aud", *require]}
    for key in accepted(secret_key):
        try:
            return jwt.decode(token, key, [ALGORITHM], audience=audience, options=options)
        except jwt.InvalidSignatureError as error:
            wrong = error
    raise wrong


def mac(secret_key: str, text: str) -> str:
    """128 bits that nobody else can make up for *text*, in hex digits."""
    return _mac(accepted(secret_key)[0], text)


def is_mac(secret_key: str, given: str, text: str) -> bool:
    """Whether *given* is the `mac` of *text*, with any of the keys."""
    if not given.isascii():
        return False
    return any(hmac.compare_digest(given, _mac(key, text)) for key in accepted(secret_key))


def _mac(key: str, text: str) -> str:
    return hmac.digest(key.encode(), text.encode(), hashlib.sha256).hex()[:32]

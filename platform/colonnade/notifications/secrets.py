"""Endpoints' signing secrets: encrypted in the database with a key derived from `COLONNADE_SECRET_KEY`.

They cannot be kept as digests, as API keys are: each delivery is signed with them.
"""

import base64
import secrets
from datetime import datetime, timedelta

import msgspec

from colonnade.cipher import Cipher, SecretUnreadable

BYTES = 32
"""Of a secret; Standard Webhooks asks for 24 to 64."""
KEPT = 5
"""Secrets of one endpoint that sign at the same time, at most."""


class Sealed(msgspec.Struct, frozen=True):
    """A secret as it is stored; it signs until *expires_at*, None: for good."""

    ciphertext: str
    expires_at: datetime | None = None


class Vault:
    """Encrypts and decrypts secrets."""

    def __init__(self, secret_key: str) -> None:
        self._cipher = Cipher(secret_key, "notification secrets")

    def seal(self, secret: str) -> Sealed:
        """*secret*, to be stored."""
        return Sealed(self._cipher.encrypt(secret))

    def open(self, sealed: Sealed) -> str:
        """The secret itself. Raises `SecretUnreadable`."""
        return self._cipher.decrypt(sealed.ciphertext)

    def open_any(self, stored: list[Sealed]) -> list[str]:
        """Those of *stored* that can be read. Raises `SecretUnreadable` where none can."""
        opened = []
        for sealed in stored:
            try:
                opened.append(self.open(sealed))
            except SecretUnreadable as error:
                unreadable = error
        if stored and not opened:
            raise unreadable
        return opened

    def again(self, sealed: Sealed) -> Sealed:
        """The same, encrypted with the newest key. Raises `SecretUnreadable`."""
        return Sealed(self._cipher.again(sealed.ciphertext), sealed.expires_at)


def new_secret() -> str:
    """A fresh one, as Standard Webhooks spells them: `whsec_` and base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(BYTES)).decode()


def active(stored: list[Sealed], now: datetime) -> list[Sealed]:
    """Those that still sign, newest first."""
    return [each for each in stored if each.expires_at is None or each.expires_at > now]


def rolled(stored: list[Sealed], new: Sealed, now: datetime, overlap: timedelta) -> list[Sealed]:
    """*new* before the older ones, which sign for *overlap* more at most."""
    end = now + overlap
    older = [Sealed(each.ciphertext, min(each.expires_at or end, end)) for each in active(stored, now)]
    return [new, *active(older, now)]

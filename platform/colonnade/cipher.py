"""What has to be kept and must not be read from the database alone: encrypted with keys from `COLONNADE_SECRET_KEY`."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class SecretUnreadable(Exception):
    """It was encrypted under another COLONNADE_SECRET_KEY: make a new one."""


class Cipher:
    """Encrypts and decrypts what serves one *purpose*; each has a key of its own."""

    def __init__(self, secret_key: str, purpose: str) -> None:
        key = HKDF(SHA256(), length=32, salt=None, info=f"colonnade {purpose}".encode()).derive(secret_key.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def encrypt(self, secret: str) -> str:
        """*secret*, to be stored."""
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, ciphertext: str) -> str:
        """The secret itself. Raises `SecretUnreadable`."""
        try:
            return self._fernet.decrypt(ciphertext.encode()).decode()
        except InvalidToken:
            raise SecretUnreadable("COLONNADE_SECRET_KEY is not the one that this was stored under.") from None

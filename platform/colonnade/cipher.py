"""What has to be kept and must not be read from the database alone: encrypted with keys from `COLONNADE_SECRET_KEY`."""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from colonnade.secret_keys import accepted


class SecretUnreadable(Exception):
    """It was encrypted under another COLONNADE_SECRET_KEY: make a new one."""


class Cipher:
    """Encrypts and decrypts what serves one *purpose*; each has keys of its own, of which the newest encrypts."""

    def __init__(self, secret_key: str, purpose: str) -> None:
        self._fernet = MultiFernet([_fernet(each, purpose) for each in accepted(secret_key)])

    def encrypt(self, secret: str) -> str:
        """*secret*, to be stored."""
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, ciphertext: str) -> str:
        """The secret itself. Raises `SecretUnreadable`."""
        try:
            return self._fernet.decrypt(ciphertext.encode()).decode()
        except InvalidToken:
            raise SecretUnreadable("COLONNADE_SECRET_KEY is not the one that this was stored under.") from None

    def again(self, ciphertext: str) -> str:
        """The same, encrypted anew with the newest key. Raises `SecretUnreadable`."""
        return self.encrypt(self.decrypt(ciphertext))


def _fernet(secret_key: str, purpose: str) -> Fernet:
    key = HKDF(SHA256(), length=32, salt=None, info=f"colonnade {purpose}".encode()).derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(key))

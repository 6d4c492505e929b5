"""Ids in the forms that Stripe gives them."""

import hashlib
import secrets
import string
from functools import lru_cache

ALPHABET = string.ascii_letters + string.digits
LENGTHS = {"cus": 14, "prod": 14, "req": 14, "acct": 16, "ca": 32, "whsec": 32}


def new(prefix: str) -> str:
    """A random id: `cus_` + 14 letters and digits, most others `1` + 23."""
    length = LENGTHS.get(prefix)
    if length is None:
        return f"{prefix}_1{token(23)}"
    return f"{prefix}_{token(length)}"


def token(length: int) -> str:
    # The slight bias of the remainder costs a fraction of a bit per letter; one draw is ten times as fast.
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in secrets.token_bytes(length))


@lru_cache(1024)
def derived(prefix: str, text: str) -> str:
    """The same id for the same text, every time."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    length = LENGTHS[prefix]
    letters = []
    for _ in range(length):
        number, place = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[place])
    return f"{prefix}_{''.join(letters)}"

"""Public ids: a prefix that names the kind and 26 letters that sort by time of creation."""

import random
import secrets
import time

_RANDOM_BITS = 80
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread

_SHIFTS = range(120, -1, -10)
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def new_id(prefix: str) -> str:
    """An id such as `ten_01k…`: 48 bits of milliseconds, then 80 random bits (the layout of a ULID)."""
    return _ulid(prefix, secrets.randbits(_RANDOM_BITS))


def passing_id(prefix: str) -> str:
    """The same for what is never kept, such as a request.

    The system is not asked for random bits: that costs several times as much, and no one gains by guessing these.
    """
    return _ulid(prefix, random.getrandbits(_RANDOM_BITS))


def _ulid(prefix: str, entropy: int) -> str:
    number = (time.time_ns() // 1_000_000) << _RANDOM_BITS | entropy
    return f"{prefix}_" + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])

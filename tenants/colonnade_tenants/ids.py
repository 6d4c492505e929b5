"""Public ids: a prefix that names the kind and 26 letters that sort by time of creation."""

import random
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread


def new_id(prefix: str) -> str:
    """An id such as `ten_01k…`: 48 bits of milliseconds, then 80 random bits (the layout of a ULID)."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def passing_id(prefix: str) -> str:
    """An id of what is never kept, such as a request: 48 bits of milliseconds, then 80 that anyone might guess.

    It takes a tenth of the time of `new_id`, which asks the system for random bits.
    """
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"

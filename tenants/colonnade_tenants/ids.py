"""Public ids: a prefix that names the kind and 26 letters that sort by time of creation."""

import os
import random
import time

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: no i, l, o, u to misread."""
_DIGIT_OF_BYTE = "".join(_DIGITS[byte % 32] for byte in range(256)).encode()
_TIME_SHIFTS = range(45, -1, -5)
_RANDOM = 16
"""Random digits of an id."""


def new_id(prefix: str) -> str:
    """An id such as `ten_01k…`: 48 bits of milliseconds, then 80 random bits (the layout of a ULID)."""
    return new_ids(prefix, 1)[0]


def new_ids(prefix: str, count: int) -> list[str]:
    """As many at once: the system is asked for random bits once."""
    milliseconds = time.time_ns() // 1_000_000
    begin = f"{prefix}_{''.join([_DIGITS[milliseconds >> shift & 31] for shift in _TIME_SHIFTS])}"
    digits = os.urandom(_RANDOM * count).translate(_DIGIT_OF_BYTE).decode()
    return [begin + digits[at : at + _RANDOM] for at in range(0, _RANDOM * count, _RANDOM)]


def passing_id(prefix: str) -> str:
    """An id of what is never kept, such as a request: 48 bits of milliseconds, then 80 that anyone might guess.

    It takes a tenth of the time of `new_id`, which asks the system for random bits.
    """
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"

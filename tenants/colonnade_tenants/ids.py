"""Public ids: a prefix that names the kind and 26 letters that sort by time of creation."""

import os
import random
import time

# Crockford's base 32: no i, l, o, u to misread. Two digits at once, as every change that is recorded has an id.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_SHIFTS = range(120, -1, -10)


def new_id(prefix: str) -> str:
    """An id such as `ten_01k…`: 48 bits of milliseconds, then 80 random bits (the layout of a ULID)."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"


def passing_id(prefix: str) -> str:
    """An id of what is never kept, such as a request: 48 bits of milliseconds, then 80 that anyone might guess.

    It takes a tenth of the time of `new_id`, which asks the system for random bits.
    """
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"

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
    return new_ids(prefix, 1)[0]


def new_ids(prefix: str, count: int) -> list[str]:
    """As many at once: the system is asked for random bits once."""
    time_part = (time.time_ns() // 1_000_000) << 80
    random_bits = os.urandom(10 * count)
    numbers = [time_part | int.from_bytes(random_bits[at : at + 10]) for at in range(0, 10 * count, 10)]
    return [f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}" for number in numbers]


def passing_id(prefix: str) -> str:
    """An id of what is never kept, such as a request: 48 bits of milliseconds, then 80 that anyone might guess.

    It takes a tenth of the time of `new_id`, which asks the system for random bits.
    """
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"

"""Which values a feature of a kind can have."""

from typing import Any

from colonnade_tenants.entitlements.model import LARGEST, Kind
from colonnade_tenants.errors import Invalid


def check_value(value: Any, kind: Kind, param: str) -> None:
    """Raise `Invalid` unless a feature of this kind can be granted with that value."""
    number = type(value) is int and 0 <= value <= LARGEST
    allowed = {
        "flag": (value is True, "A flag is granted as true."),
        "limit": (number or value is None, f"A limit is a whole number up to {LARGEST}, or null for no limit."),
        "quantity": (number, f"A quantity is a whole number up to {LARGEST}."),
    }
    fits, rule = allowed[kind]
    if not fits:
        raise Invalid(rule, param)

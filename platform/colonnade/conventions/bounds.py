"""What no value that a caller gives may be, whatever field it is for: one walk over what was decoded.

A field's own type says more; this is what the database, or a computation, could not take.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct

from colonnade_tenants.entitlements.model import LARGEST
from colonnade_tenants.errors import Invalid
from colonnade_tenants.times import require_moment


def require_bounds(value: Any, path: str = "") -> None:
    """Raises `Invalid` naming the path of a time, number or text that is out of bounds."""
    if isinstance(value, str):
        require_storable(value, path)
    elif isinstance(value, int):
        if not -LARGEST <= value <= LARGEST:
            raise Invalid(f"A whole number is {-LARGEST} to {LARGEST}.", path)
    elif isinstance(value, datetime):
        require_moment(value, path)
    else:
        for name, inner in _within(value):
            require_bounds(inner, f"{path}{name}".removeprefix("."))


def require_storable(text: str, param: str) -> None:
    """Raises `Invalid` for text with U+0000, which PostgreSQL does not keep."""
    if "\0" in text:
        raise Invalid("Control characters are not accepted.", param)


def _within(value: Any) -> Iterable[tuple[str, Any]]:
    """What *value* is made of, each with the step that a path takes to it."""
    if isinstance(value, Struct):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        return [(f".{shown}", getattr(value, name)) for shown, name in names]
    if isinstance(value, dict):
        keys = [("", name) for name in value if isinstance(name, str)]
        return [*keys, *((f".{name}", inner) for name, inner in value.items())]
    if isinstance(value, list | tuple):
        return [(f"[{number}]", inner) for number, inner in enumerate(value)]
    return ()

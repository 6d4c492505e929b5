"""What is wrong with a value, in our words. The libraries that find it speak of their own types ("Expected `int`, got
`str`"), which means little to a caller, and name patterns rather than what is meant.

Everything that decodes what a caller wrote says it here: bodies, parameters, options of commands, files.
"""

import difflib
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from colonnade.errors import Invalid

PATTERNS = {
    "^[A-Z]{2}$": "a two-letter country code, such as DE",
    "^#[0-9a-fA-F]{6}$": "a colour such as #1A73E8",
    "^acct_[A-Za-z0-9]+$": "the id of a connected account, acct_…",
    "^sub_[A-Za-z0-9_]{1,200}$": "the id of a subscription, sub_…",
    "^pm_[A-Za-z0-9_]{1,200}$": "the id of a payment method, pm_…",
    "^[A-Za-z0-9_-]{1,255}$": "an id of Stripe's",
    "^[a-z0-9_]{1,64}$": "the name of a capability, such as card_payments",
}
"""What each pattern that callers may meet stands for."""

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "a time",
}
_FOUND = _TYPES | {"int": "a number", "float": "a number with a fraction"}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_TIME = "such as 2026-12-01T00:00:00Z"
_SHOWN = 12
"""Values that a sentence lists at most."""


class Wrong(NamedTuple):
    """A sentence, and the field that it is about as a path: `items[0].price`; none: the whole."""

    detail: str
    param: str | None


def wrong(error: str, kind: Any = None) -> Wrong:
    """*error*, msgspec's words, in ours; *kind*, the type that was decoded, says what would have been right."""
    message, _, place = error.partition(" - at `")
    path = place.removesuffix("`").removeprefix("key` in `").removeprefix("$").removeprefix(".")
    for pattern, words in _RULES:
        if match := re.fullmatch(pattern, message, re.DOTALL):
            found = words(match, list(_reached(kind, path)))
            return Wrong(found.detail, ".".join(filter(None, (path, found.param))) or None)
    return Wrong(message, path or None)


def invalid(error: msgspec.ValidationError, kind: Any = None) -> Invalid:
    """*error* as the error of a caller."""
    return Invalid(*wrong(str(error), kind))


_Words = Callable[[re.Match[str], list[inspect.Type]], Wrong]


def _must(words: str) -> Wrong:
    return Wrong(f"Must be {words}.", None)


def _type(match: re.Match[str], _: list[inspect.Type]) -> Wrong:
    wanted = " or ".join(_TYPES.get(name, name) for name in match[1].split(" | "))
    return _must(wanted if match[2] is None else f"{wanted}, not {_FOUND.get(match[2], match[2])}")


def _length(match: re.Match[str], _: list[inspect.Type]) -> Wrong:
    unit = "character" if match[1] == "str" else "entry" if match[3] == "1" else "entries"
    plural = "s" if unit == "character" and match[3] != "1" else ""
    bound = f"{_BOUNDS[match[2]]} " if match[2] else ""
    return Wrong(f"Must have {bound}{match[3]} {unit}{plural}.", None)


def _choice(match: re.Match[str], kinds: list[inspect.Type]) -> Wrong:
    # Of a parameter that may be repeated, no place within is told.
    items = [each for kind in kinds for below in _below(kind, "", "[]") for each in _alternatives(below)]
    known = [str(value) for kind in (*kinds, *items) for value in _values(kind)]
    if not known or len(known) > _SHOWN:
        return Wrong(f"{match[1]} is none of the values that this takes.", None)
    return _must(f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else known[0])


def _unknown(match: re.Match[str], kinds: list[inspect.Type]) -> Wrong:
    fields = [field.encode_name for kind in kinds for field in getattr(kind, "fields", ())]
    near = difflib.get_close_matches(match[1], fields, n=1)
    return Wrong(f"There is no such field{f'; the nearest is {near[0]}' if near else ''}.", match[1])


_RULES: tuple[tuple[str, _Words], ...] = (
    (r"Expected `(int|float)` ([<>]=?) (\S+?)(?:\.0)?", lambda match, _: _must(f"{_BOUNDS[match[2]]} {match[3]}")),
    (r"Expected `(str|array|object)` of length (?:([<>]=) )?(\d+)(?:, got \d+)?", _length),
    (r"Expected `str` matching regex '(.*)'", lambda match, _: _must(PATTERNS.get(match[1], f"like {match[1]}"))),
    (r"Expected `datetime` with a timezone component", lambda *_: _must(f"a time with its zone, {_TIME}")),
    (r"Invalid RFC3339 encoded datetime", lambda *_: _must(f"a time with its zone, {_TIME}")),
    (r"Expected `([a-z |]+)`(?:, got `(\w+)`)?", _type),
    (r"Invalid (?:enum )?value (.*)", _choice),
    (r"Integer value out of range|Number out of range", lambda *_: Wrong("The number is too large.", None)),
    (r"Object contains unknown field `(.*)`", _unknown),
    (r"Object missing required field `(.*)`", lambda match, _: Wrong("This field is required.", match[1])),
)


def _reached(kind: Any, path: str) -> Iterator[inspect.Type]:
    """The types that may stand at the end of *path*."""
    kinds = list(_alternatives(_inspected(kind))) if kind is not None else []
    for name, item in re.findall(r"([^.\[\]]+)|(\[[^\]]*\])", path):
        kinds = [each for inner in kinds for below in _below(inner, name, item) for each in _alternatives(below)]
    yield from kinds


@cache
def _inspected(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _alternatives(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _alternatives(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _alternatives(each)
    else:
        yield kind


def _below(kind: inspect.Type, name: str, item: str) -> Iterator[inspect.Type]:
    if item:
        inner = getattr(kind, "item_type", None) or getattr(kind, "value_type", None)
        if inner is not None:
            yield inner
    elif isinstance(kind, inspect.StructType):
        yield from (field.type for field in kind.fields if field.encode_name == name)
        if name == kind.tag_field:
            yield inspect.LiteralType((kind.tag,))


def _values(kind: inspect.Type) -> list[Any]:
    if isinstance(kind, inspect.EnumType):
        return [each.value for each in kind.cls]
    return list(kind.values) if isinstance(kind, inspect.LiteralType) else []

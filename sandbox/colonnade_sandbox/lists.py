"""Stripe's list replies: newest first, cursors, filters."""

from collections.abc import Callable, Iterable
from typing import Any

from colonnade_sandbox import errors, forms
from colonnade_sandbox.call import Call
from colonnade_sandbox.contract import shapes
from colonnade_sandbox.store import Object

# What every list takes beside its filters.
PAGING = "ending_before limit starting_after"
LIMITS = range(1, 101)
DEFAULT_LIMIT = 10

# One of these parameters is needed to list what belongs to a test clock (Stripe docs, "Test clocks").
ATTACHED = {"customer", "subscription", "test_clock"}

# Whether an object passes the filter's value.
Filter = Callable[[Object, Any], bool]

COMPARE: dict[str, Callable[[int, int], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def equal(field: str) -> Filter:
    """A filter that wants `field` to have the given value."""
    return lambda value, wanted: bool(value.get(field) == wanted)


def within(field: str) -> Filter:
    """A filter on a time: a second, or bounds such as `created[gte]`."""

    def passes(value: Object, wanted: Any) -> bool:
        if isinstance(wanted, dict):
            return value[field] is not None and all(
                COMPARE[name](value[field], bound) for name, bound in wanted.items()
            )
        return bool(value[field] == wanted)

    return passes


def one_of(field: str) -> Filter:
    return lambda value, wanted: value.get(field) in wanted


def answer(call: Call, kind: str, rows: Iterable[Object], filters: dict[str, Filter], url: str) -> Object:
    """One page of `rows` (newest first).

    Raises StripeError (400) for a limit outside 1 to 100 or a cursor that names nothing.
    """
    limit = call.params.get("limit", DEFAULT_LIMIT)
    if limit not in LIMITS:
        raise errors.invalid_integer("limit", str(limit))
    tests = [(test, call.params[name]) for name, test in filters.items() if name in call.params]
    shown = rows if ATTACHED & call.params.keys() else (row for row in rows if not row.get("test_clock"))
    found = [row for row in shown if all(test(row, wanted) for test, wanted in tests)]
    after, before = call.params.get("starting_after"), call.params.get("ending_before")
    if after is not None:
        found = found[_position(found, kind, after, "starting_after") + 1 :]
    elif before is not None:
        found = found[: _position(found, kind, before, "ending_before")]
        return shapes.page(found[-limit:], url, has_more=len(found) > limit)
    return shapes.page(found[:limit], url, has_more=len(found) > limit)


def _position(rows: list[Object], kind: str, key: str, param: str) -> int:
    for index, row in enumerate(rows):
        if row["id"] == key:
            return index
    raise errors.no_such(kind, key, param)


def v2_answer(call: Call, rows: Iterable[Object], most: int = 100, default: int = 20) -> Object:
    """One page of the V2 API: newest first, with the address of the next one.

    Raises StripeError (400) for a limit outside 1 to `most` or a page that was never told.
    """
    limit = call.params.get("limit", default)
    if not 1 <= limit <= most:
        raise errors.invalid_integer("limit", str(limit))
    found = list(rows)
    if (after := call.params.get("page")) is not None:
        found = found[_position(found, "page", after, "page") + 1 :]
    following = None
    if len(found) > limit:
        following = f"{call.url}?{forms.encode(call.params | {'page': found[limit - 1]['id']})}"
    return {"data": found[:limit], "next_page_url": following, "previous_page_url": None}

"""The table of operations: which function answers which route of Stripe's API."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from colonnade_sandbox import lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.store import Object

Function = Callable[[Call], Object]


@dataclass(frozen=True, slots=True)
class Operation:
    """`takes` lists the parameters that the sandbox acts on: `a` with all inside it, `a[b]` that part alone."""

    function: Function
    takes: frozenset[str] = frozenset()

    def untaken(self, params: dict[str, Any]) -> str | None:
        """The first parameter, in bracket notation, that the operation would pass over."""
        return _untaken(self.takes, params, "", "")


def _untaken(takes: frozenset[str], value: Any, declared: str, sent: str) -> str | None:
    """`declared` is the path of `value` without places in arrays, `sent` the path with them."""
    if isinstance(value, dict):
        inner = [(f"{declared}[{name}]" if declared else name, name, part) for name, part in value.items()]
    elif isinstance(value, list):
        inner = [(declared, str(place), part) for place, part in enumerate(value)]
    else:
        return sent
    for path, name, part in inner:
        if path in takes:
            continue
        at = f"{sent}[{name}]" if sent else name
        if not any(taken.startswith(f"{path}[") for taken in takes):
            return at
        if (found := _untaken(takes, part, path, at)) is not None:
            return found
    return None


OPERATIONS: dict[tuple[str, str], Operation] = {}


@lru_cache(4096)
def key(method: str, template: str) -> tuple[str, str]:
    """Path parameters count by place, not by name."""
    return method, re.sub(r"{\w+}", "{}", template)


def operation(method: str, template: str, *, takes: str = "") -> Callable[[Function], Function]:
    """Registers the function that answers `method template`; `takes` is a list of names apart by spaces."""

    def register(function: Function) -> Function:
        OPERATIONS[key(method, template)] = Operation(function, frozenset(takes.split()))
        return function

    return register


def retrievable(kind: str, template: str, param: str = "id") -> None:
    """Registers the plain retrieval of one object; `param` is what an error about its id names."""

    def retrieve(call: Call) -> Object:
        (value,) = call.path.values()
        return call.get(kind, value, param, in_path=True)

    OPERATIONS[key("GET", template)] = Operation(retrieve)


def listable(kind: str, template: str, filters: dict[str, lists.Filter] | None = None) -> None:
    """Registers the plain list of a kind with its filters by parameter name."""
    tests = {"created": lists.within("created")} | (filters or {})

    def list_all(call: Call) -> Object:
        rows = (row for row in call.all(kind) if not row.get("deleted"))
        return lists.answer(call, kind, rows, tests, call.url or template)

    OPERATIONS[key("GET", template)] = Operation(list_all, frozenset([*lists.PAGING.split(), *tests]))

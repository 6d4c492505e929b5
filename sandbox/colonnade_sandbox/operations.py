"""The table of operations: which function answers which route of Stripe's API."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from colonnade_sandbox import lists
from colonnade_sandbox.call import Call
from colonnade_sandbox.store import Object

Function = Callable[[Call], Object]


@dataclass(frozen=True, slots=True)
class Operation:
    """`takes` lists the parameters that the sandbox acts on, where it does not take all of Stripe's."""

    function: Function
    takes: frozenset[str] | None = None


OPERATIONS: dict[tuple[str, str], Operation] = {}


def key(method: str, template: str) -> tuple[str, str]:
    """Path parameters count by place, not by name."""
    return method, re.sub(r"{\w+}", "{}", template)


def operation(method: str, template: str, *, takes: str = "") -> Callable[[Function], Function]:
    """Registers the function that answers `method template`; `takes` is a list of names apart by spaces."""

    def register(function: Function) -> Function:
        names = frozenset(takes.split()) if takes else None
        OPERATIONS[key(method, template)] = Operation(function, names)
        return function

    return register


def retrievable(kind: str, template: str) -> None:
    """Registers the plain retrieval of one object."""

    def retrieve(call: Call) -> Object:
        (value,) = call.path.values()
        return call.get(kind, value)

    OPERATIONS[key("GET", template)] = Operation(retrieve)


def listable(kind: str, template: str, filters: dict[str, lists.Filter] | None = None) -> None:
    """Registers the plain list of a kind with its filters by parameter name."""
    tests = {"created": lists.within("created")} | (filters or {})

    def list_all(call: Call) -> Object:
        rows = (row for row in call.all(kind) if not row.get("deleted"))
        return lists.answer(call, kind, rows, tests, call.url or template)

    OPERATIONS[key("GET", template)] = Operation(list_all)

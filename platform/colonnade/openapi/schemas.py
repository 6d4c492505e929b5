"""Schemas of the types on the wire, by msgspec: what they accept and nothing else."""

import re
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import inspect

from colonnade.openapi.operations import camel

_PAGE = re.compile(r"Page_(.+)_")
_TEXT = {"type": "string"}


def components(types: Iterable[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Each type's schema, and the named schemas that they refer to, under names for people."""
    wanted = list(types)
    schemas, named = msgspec.json.schema_components(wanted, ref_template="#/components/schemas/{name}")
    _mark_times(named.values(), wanted)
    _polish(named)
    names = _names(named)
    text = msgspec.json.encode([list(schemas), named]).decode()
    for old, new in names.items():
        text = text.replace(f'"#/components/schemas/{old}"', f'"#/components/schemas/{new}"')
    shown, renamed = msgspec.json.decode(text)
    # Generators of clients call their classes by the title.
    return shown, {names[old]: schema | {"title": names[old]} for old, schema in renamed.items()}


def _names(named: Iterable[str]) -> dict[str, str]:
    """msgspec's names made short: `Page_TenantView_` is `TenantViewPage`.

    Two called alike are told apart by their modules: `colonnade.portals.flows.Change` is `FlowsChange`.
    """
    ladders = {name: list(_shorter(name)) for name in named}
    taken = [rung for ladder in ladders.values() for rung in ladder]
    return {
        name: next((rung for rung in ladder if taken.count(rung) == 1), ladder[-1]) for name, ladder in ladders.items()
    }


def _shorter(name: str) -> Iterator[str]:
    """Names that *name* might go by, the shortest first."""
    page = _PAGE.fullmatch(name)
    *modules, last = (page[1] if page else name).split(".")
    if page and any("_" in part for part in modules[1:]):  # of several types: it goes by their module
        modules, last = [], modules[-1].capitalize()
    end = re.sub(r"\W+", "", last) + ("Page" if page else "")
    for place in range(len(modules), -1, -1) if not modules else range(len(modules) - 1, -1, -1):
        yield "".join(camel(f"x_{part}")[1:] for part in modules[place:] if part.isidentifier()) + end


def _mark_times(schemas: Iterable[dict[str, Any]], types: list[Any]) -> None:
    """Say of times that they are: msgspec does so only where a time zone is required."""
    times = {(cls.__name__, frozenset(fields)): found for cls, fields, found in _structs(types)}
    for schema in schemas:
        properties = schema.get("properties", {})
        for name in times.get((schema.get("title", ""), frozenset(properties)), ()):
            for each in properties[name].get("anyOf", [properties[name]]):
                if each.get("type") == "string":
                    each["format"] = "date-time"


def _polish(part: Any) -> None:
    """Docstrings without their indentation, and the only word that there may be as a constant."""
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _polish(each)
    if isinstance(part, dict):
        if isinstance(part.get("description"), str):
            part["description"] = cleandoc(part["description"])
        if isinstance(part.get("enum"), list) and len(part["enum"]) == 1:
            part["const"] = part.pop("enum")[0]


def _structs(types: list[Any]) -> Iterator[tuple[type, list[str], list[str]]]:
    """Each struct in *types*: its class, its fields, and those of them that are times."""
    queue: list[Any] = list(inspect.multi_type_info(types))
    seen: set[Any] = set()
    while queue:
        node = queue.pop()
        if isinstance(node, inspect.StructType):
            if node.cls in seen:
                continue
            seen.add(node.cls)
            found = [each.encode_name for each in node.fields if _is_time(each.type)]
            yield node.cls, [each.encode_name for each in node.fields], found
        queue += _within(node)


def _within(node: Any) -> Iterator[Any]:
    for name in getattr(node, "__struct_fields__", ()):
        value = getattr(node, name)
        yield from value if isinstance(value, (tuple, list)) else (value,)


def _is_time(node: Any) -> bool:
    options = node.types if isinstance(node, inspect.UnionType) else (node,)
    return any(isinstance(each, inspect.DateTimeType) for each in options)

"""Reply shapes: every resource has exactly the fields of its class in the SDK.

Resources in `resources/` give the values they care about; `complete` adds the rest as Stripe sends it.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from colonnade_sandbox.contract import source
from colonnade_sandbox.contract.absent import INCLUDABLE, left_out
from colonnade_sandbox.contract.annotations import (
    Choice,
    Either,
    Expandable,
    Many,
    Mapping,
    Maybe,
    Node,
    Omittable,
    Page,
    Record,
    Scalar,
    parse,
)

EMPTY: dict[str, Any] = {"str": "", "int": 0, "float": 0.0, "bool": False, "Decimal": "0", "Any": None, "object": None}
V2_DELETED = {"id", "object"}
LIST_FIELDS = {"object", "data", "has_more", "url"}
PYTHON: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "Decimal": str,
}


@cache
def resource(kind: str) -> Record:
    """The declaration of an object name such as `subscription_item`."""
    module, name = source.resources()[kind]
    return Record(source.module(module).classes[name])


@cache
def fields(record: Record) -> dict[str, Node]:
    declaration = record.declaration
    return {name: parse(annotation, declaration) for name, annotation in declaration.fields.items()}


def complete(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """`values` with every missing field at its default; names that start with `_` are kept as they are.

    Inside, an empty text becomes null, and what Stripe takes but never returns (a tax id) is left out.
    """
    done = _complete(resource(kind), values, kind)
    return done | {name: value for name, value in values.items() if name not in done}


def _path(record: Record, above: str, name: str) -> str:
    return record.declaration.object_name or f"{above}.{name}"


def _complete(record: Record, values: dict[str, Any], path: str) -> dict[str, Any]:
    done: dict[str, Any] = {}
    for name, node in fields(record).items():
        if name in values:
            done[name] = _filled(node, values[name], path, name)
        elif not (isinstance(node, Maybe) and left_out(path, name)):
            done[name] = _blank(node, path, name)
    return done


def _filled(node: Node, value: Any, path: str, name: str) -> Any:
    match node:
        case Maybe() if value in (None, ""):
            return None
        case Maybe(of) | Expandable(of) | Omittable(of):
            return _filled(of, value, path, name)
        case Many(of) if isinstance(value, list):
            return [_filled(of, item, path, name) for item in value]
        case Record() if isinstance(value, dict) and not value.get("deleted"):
            return _complete(node, value, _path(node, path, name))
        case Either(options) if isinstance(value, dict):
            records = [option for option in options if isinstance(option, Record)]
            return _filled(records[0], value, path, name) if len(records) == 1 else value
        case _:
            return value


def _blank(node: Node, path: str, name: str) -> Any:
    match node:
        case Maybe():
            return None
        case Scalar(scalar):
            return EMPTY[scalar]
        case Choice(values):
            return values[0] if values else None
        case Many():
            return []
        case Mapping():
            return {}
        case Page():
            return page([], f"/v1/{name}")
        case Record():
            return _complete(node, {}, _path(node, path, name))
        case Either(options):
            return _blank(options[0], path, name)
        case _:
            return ""


def page(data: list[Any], url: str, *, has_more: bool = False) -> dict[str, Any]:
    """Stripe's list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def includable(kind: str) -> tuple[str, ...]:
    return INCLUDABLE.get(kind, ())


def differences(value: dict[str, Any]) -> list[str]:
    """How a reply differs from its class in the SDK: paths with the reason, empty where it fits."""
    kind = value.get("object")
    if kind == "list":
        return [line for item in value["data"] for line in differences(item)]
    if value.get("deleted") or value.keys() == V2_DELETED:
        return [] if set(value) <= {"id", "object", "deleted", "name"} else [f"{kind}: more than a deleted stub"]
    if kind == "v2.core.event":
        # Declared by the classes of the single types, and not by the one that they share.
        value = {name: part for name, part in value.items() if name not in ("data", "related_object")}
    if kind not in source.resources():
        return [f"$: unknown object {kind!r}"]
    return list(_differences(resource(str(kind)), value, str(kind)))


def _differences(node: Node, value: Any, path: str) -> Iterator[str]:
    match node:
        case Record():
            yield from _record_differences(node, value, path)
        case Maybe(of):
            if value is not None:
                yield from _differences(of, value, path)
        case Expandable(of):
            if not isinstance(value, str):
                yield from _differences(of, value, path)
        case Many(of) | Page(of):
            items = value
            if isinstance(node, Page):
                items = value.get("data") if isinstance(value, dict) and value.keys() == LIST_FIELDS else None
            if not isinstance(items, list):
                yield f"{path}: not a list"
                return
            for index, item in enumerate(items):
                yield from _differences(of, item, f"{path}[{index}]")
        case Mapping(of):
            if not isinstance(value, dict):
                yield f"{path}: not an object"
        case Choice(values):
            if values and value not in values:
                yield f"{path}: {value!r} is not one of {values}"
        case Either(options):
            if all(list(_differences(option, value, path)) for option in options):
                yield f"{path}: {value!r} fits no alternative"
        case Scalar(name) if name in PYTHON:
            if not isinstance(value, PYTHON[name]) or (isinstance(value, bool) and name != "bool"):
                yield f"{path}: {value!r} is not {name}"
        case _:
            return


def _record_differences(node: Record, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r} is not an object"
        return
    known = fields(node)
    for name in value.keys() - known.keys():
        yield f"{path}.{name}: not in the pinned version"
    for name, field in known.items():
        if name in value:
            yield from _differences(field, value[name], f"{path}.{name}")
        elif not isinstance(field, Maybe):
            yield f"{path}.{name}: missing"

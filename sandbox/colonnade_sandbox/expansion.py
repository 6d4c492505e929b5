"""Replies: private values taken out, `expand` and includable fields put in."""

from collections.abc import Callable
from typing import Any

from colonnade_sandbox import errors
from colonnade_sandbox.contract import shapes, source
from colonnade_sandbox.contract.annotations import (
    Either,
    Expandable,
    Many,
    Maybe,
    Node,
    Page,
    Record,
)
from colonnade_sandbox.store import Object, Store

DEEPEST = 4

# Fields that are made when `expand` asks for them: (kind, field) to a function of store, account, object.
Computed = Callable[[Store, str, Object], Any]
COMPUTED: dict[tuple[str, str], Computed] = {}


def public(value: Object, wanted: list[str] | None = None) -> Object:
    """The object as it is sent: without private names, without includable fields that nobody asked for."""
    shown = {name: inner for name, inner in value.items() if not name.startswith("_")}
    for path in shapes.includable(str(value.get("object"))):
        if path not in (wanted or ()):
            shown = _without(shown, path.split("."))
    return shown


def _whole_public(value: Any) -> Any:
    """What was made for a reply out of stored objects: one, or a page of them."""
    if isinstance(value, dict) and value.get("object") == "list":
        return value | {"data": [public(item) for item in value["data"]]}
    return public(value) if isinstance(value, dict) else value


def _without(value: Object, path: list[str]) -> Object:
    head, *rest = path
    if head not in value or (rest and not isinstance(value[head], dict | list)):
        return value
    if rest and isinstance(value[head], list):
        return value | {head: [_without(each, rest) for each in value[head]]}
    if rest:
        return value | {head: _without(value[head], rest)}
    return {name: inner for name, inner in value.items() if name != head}


def check_depth(paths: list[str]) -> None:
    for path in paths:
        if len(path.removeprefix("data.").split(".")) > DEEPEST:
            text = f"You cannot expand more than {DEEPEST} levels of a property: {path}"
            raise errors.invalid(text, "expand")


class Reply:
    """Renders objects of one account as replies; `lookup` finds what a path points at."""

    def __init__(self, store: Store, account: str) -> None:
        self._store = store
        self._account = account

    def render(self, value: Object, paths: list[str]) -> Object:
        """Raises StripeError (400) for a path that cannot be expanded."""
        if value.get("object") == "list":
            return self._list(value, paths)
        kind = str(value.get("object"))
        shown = public(value, paths)
        if kind not in source.resources() or value.get("deleted"):
            return shown
        for path in paths:
            if path not in shapes.includable(kind):
                shown = self._record(shapes.resource(kind), shown, path.split("."), path)
        return shown

    def _list(self, value: Object, paths: list[str]) -> Object:
        for path in paths:
            if not path.startswith("data."):
                raise cannot_expand(path)
        inner = [path.removeprefix("data.") for path in paths]
        return value | {"data": [self.render(item, inner) for item in value["data"]]}

    def _record(self, record: Record, value: Object, path: list[str], full: str) -> Object:
        head, *rest = path
        node = shapes.fields(record).get(head)
        if node is None:
            raise cannot_expand(full)
        computed = COMPUTED.get((str(value.get("object")), head))
        current = _whole_public(computed(self._store, self._account, value)) if computed else value.get(head)
        if computed and not rest:
            return value | {head: current}
        return value | {head: self._value(node, current, rest, full)}

    def _value(self, node: Node, value: Any, rest: list[str], full: str) -> Any:
        match node:
            case Maybe(of):
                return value if value is None else self._value(of, value, rest, full)
            case Expandable(of):
                return self._expanded(of, value, rest)
            case Many(of) if isinstance(value, list):
                return [self._value(of, item, rest, full) for item in value]
            case Page(of) if isinstance(value, dict):
                if not rest:
                    return value
                if rest[0] != "data" or len(rest) < 2:
                    raise cannot_expand(full)
                return value | {"data": [self._value(of, item, rest[1:], full) for item in value["data"]]}
            case Record() if isinstance(value, dict) and rest:
                return self._record(node, value, rest, full)
            case _:
                raise cannot_expand(full)

    def _expanded(self, node: Node, value: Any, rest: list[str]) -> Any:
        deeper = [".".join(rest)] if rest else []
        if isinstance(value, dict):
            return self.render(value, deeper)
        for option in node.options if isinstance(node, Either) else (node,):
            kind = option.declaration.object_name if isinstance(option, Record) else None
            if kind and isinstance(value, str) and (found := self._load(kind, value)) is not None:
                return self.render(found, deeper)
        return value

    def _load(self, kind: str, key: str) -> Object | None:
        # An account is kept with its own objects, wherever it is mentioned.
        return self._store.find(key if kind == "account" else self._account, kind, key)


def cannot_expand(path: str) -> errors.StripeError:
    return errors.invalid(f"This property cannot be expanded ({path}).", "expand")

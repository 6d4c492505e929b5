"""The SDK's type annotations as a small tree that parameters and replies are derived from."""

import ast
from collections.abc import Callable
from dataclasses import dataclass

from colonnade_sandbox.contract import source

SCALARS = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "Decimal": str,
    "Any": object,
    "object": object,
}


@dataclass(frozen=True, slots=True)
class Scalar:
    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """`Literal[…]`. The SDK leaves its enums open (`Literal[…] | str`); here they are closed."""

    values: tuple[str | bool, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """A JSON array."""

    of: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """An object with free keys, such as `metadata`."""

    of: "Node"


@dataclass(frozen=True, slots=True)
class Page:
    """Stripe's list object: `object, data, has_more, url`."""

    of: "Node"


@dataclass(frozen=True, slots=True)
class Record:
    """A nested object, or a whole resource, by the class that declares it."""

    declaration: source.Class

    def __hash__(self) -> int:
        return id(self.declaration)


@dataclass(frozen=True, slots=True)
class Expandable:
    """An id that `expand` replaces by the object."""

    of: "Node"


@dataclass(frozen=True, slots=True)
class Maybe:
    """`Optional[X]`: null, or left out where Stripe leaves it out."""

    of: "Node"


@dataclass(frozen=True, slots=True)
class Either:
    options: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Omittable:
    """`NotRequired[X]`: a parameter that may be left out."""

    of: "Node"


Node = Scalar | Choice | Many | Mapping | Page | Record | Expandable | Maybe | Either | Omittable

WRAPPERS: dict[str, Callable[[Node], Node]] = {
    "NotRequired": Omittable,
    "Optional": Maybe,
    "List": Many,
    "Sequence": Many,
    "ListObject": Page,
    "ExpandableField": Expandable,
    "UntypedStripeObject": Mapping,
}


def parse(expression: ast.expr, scope: source.Class) -> Node:
    """The tree of one annotation; names are looked up from inside `scope`."""
    match expression:
        case ast.Constant(value=str() as text):
            return parse(ast.parse(text, mode="eval").body, scope)
        case ast.Constant(value=None):
            return Maybe(Choice(()))
        case ast.BinOp(op=ast.BitOr()):
            return _either(_alternatives(expression), scope)
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            return _generic(name, inner, scope)
        case ast.Name(id=name) if name in SCALARS:
            return Scalar(name)
        case ast.Name(id=name) if (found := source.lookup(name, scope)) is not None:
            return Record(found)
        case _:
            return Scalar("Any")


def _alternatives(expression: ast.expr) -> list[ast.expr]:
    if isinstance(expression, ast.BinOp):
        return _alternatives(expression.left) + _alternatives(expression.right)
    return [expression]


def _generic(name: str, inner: ast.expr, scope: source.Class) -> Node:
    arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if name == "Literal":
        return Choice(tuple(ast.literal_eval(value) for value in arguments))
    if name == "Union":
        return _either(arguments, scope)
    if name in ("Dict", "Mapping"):
        return Mapping(parse(arguments[-1], scope))
    if name in WRAPPERS:
        return WRAPPERS[name](parse(arguments[0], scope))
    return Scalar("Any")


def _either(expressions: list[ast.expr], scope: source.Class) -> Node:
    """A union, flattened, with enums closed and repeated literals merged."""
    flat: list[Node] = []
    for expression in expressions:
        node = parse(expression, scope)
        flat.extend(node.options if isinstance(node, Either) else [node])
    values = tuple(dict.fromkeys(value for node in flat if isinstance(node, Choice) for value in node.values))
    rest = [node for node in dict.fromkeys(flat) if not isinstance(node, Choice)]
    text = Scalar("str")
    if text in rest and any(value != "" for value in values):
        rest.remove(text)
    if any(isinstance(node, Mapping) for node in rest):
        rest = [node for i, node in enumerate(rest) if not isinstance(node, Mapping) or node not in rest[:i]]
    options = ([Choice(values)] if values else []) + rest
    return options[0] if len(options) == 1 else Either(tuple(options))

"""A route's parameters as a closed msgspec Struct, and Stripe's error for what does not fit."""

import keyword
import re
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union

import msgspec

from colonnade_sandbox import errors
from colonnade_sandbox.contract import source
from colonnade_sandbox.contract.annotations import (
    Choice,
    Either,
    Many,
    Mapping,
    Maybe,
    Node,
    Omittable,
    Record,
    Scalar,
    parse,
)

# Stripe takes an empty string as "unset this", so a plain text parameter refuses it.
TEXT = Annotated[str, msgspec.Meta(min_length=1)]
DECIMAL = Annotated[str, msgspec.Meta(pattern=r"^-?\d+(\.\d+)?$")]
DECIMAL_OR_UNSET = Annotated[str, msgspec.Meta(pattern=r"^(-?\d+(\.\d+)?)?$")]
# msgspec would read `inf` as a number that is no integer.
COUNT_OR_INF = Annotated[str, msgspec.Meta(pattern=r"^(inf|\d+)$")]
SCALARS: dict[str, Any] = {
    "str": TEXT,
    "int": int,
    "float": float,
    "bool": bool,
    "Decimal": DECIMAL,
    "Any": Any,
    "object": Any,
}


def validate(declaration: source.Class, given: dict[str, Any]) -> dict[str, Any]:
    """The given form data with text turned into numbers and booleans.

    Raises StripeError (400) naming the offending parameter in bracket notation.
    """
    try:
        return msgspec.to_builtins(msgspec.convert(given, _struct(declaration), strict=False))  # type: ignore[no-any-return]
    except msgspec.ValidationError as problem:
        raise _explain(declaration, given, str(problem)) from None


def fields(declaration: source.Class) -> Iterator[tuple[str, Node]]:
    """Every parameter with its type, those of functional TypedDict bases included."""
    module = source.module(declaration.module)
    for base in declaration.bases:
        if base in module.classes:
            yield from fields(module.classes[base])
    for name, annotation in declaration.fields.items():
        yield name, parse(annotation, declaration)


@cache
def _struct_by_id(key: tuple[str, str]) -> type[msgspec.Struct]:
    declaration = source.module(key[0]).classes[key[1]]
    columns: list[Any] = []
    rename = {}
    for name, node in fields(declaration):
        field = f"{name}_" if keyword.iskeyword(name) else name
        rename[field] = name
        if isinstance(node, Omittable):
            columns.append((field, Union[_type(node.of), msgspec.UnsetType], msgspec.UNSET))  # noqa: UP007
        else:
            columns.append((field, _type(node)))
    return msgspec.defstruct(key[1], columns, kw_only=True, forbid_unknown_fields=True, rename=rename)


def _struct(declaration: source.Class) -> type[msgspec.Struct]:
    return _struct_by_id((declaration.module, declaration.name))


def _type(node: Node) -> Any:
    match node:
        case Scalar(name):
            return SCALARS[name]
        case Choice(values):
            return Literal[values] if values else None
        case Many(of):
            return list[_type(of)]  # type: ignore[misc]
        case Mapping(Maybe(of)):  # in JSON, null takes a key away
            return dict[str, _type(of) | None]  # type: ignore[misc]
        case Mapping(of):
            return dict[str, str if of == Scalar("str") else _type(of)]  # type: ignore[misc]
        case Record(declaration):
            return _struct(declaration)
        case Either(options):
            return _union(options)
        case Maybe(of) | Omittable(of):
            return _type(of)
        case _:
            return Any


def _union(options: tuple[Node, ...]) -> Any:
    """msgspec takes one text-like and one object type per union; several become one that holds them all."""
    if sum(isinstance(option, Record) for option in options) > 1:
        rest = tuple(option for option in options if not isinstance(option, Record))
        return Union[(dict[str, Any], *map(_type, rest))]
    if set(options) == {Choice(("inf",)), Scalar("int")}:
        return COUNT_OR_INF
    unsettable = any(isinstance(option, Choice) and "" in option.values for option in options)
    if unsettable and Scalar("str") in options:
        options = tuple(o for o in options if not isinstance(o, Choice) and o != Scalar("str"))
        return Union[(str, *map(_type, options))]
    if unsettable and Scalar("Decimal") in options:
        return DECIMAL_OR_UNSET
    return Union[tuple(map(_type, options))]  # noqa: UP007


def _explain(declaration: source.Class, given: Any, problem: str) -> errors.StripeError:
    """msgspec's complaint in Stripe's words."""
    message, _, path = problem.partition(" - at `$")
    keys = re.findall(r"\.(\w+)|\[(\d+|\.\.\.)\]", path)
    node: Node = Record(declaration)
    value, names = given, []
    for name, index in keys:
        node, value = _step(node, value, name or index)
        names.append(name or index)
    if "unknown field" in message:
        return errors.unknown_parameter(errors.bracketed([*names, message.split("`")[1]]))
    if "missing required" in message:
        return errors.missing_parameter(errors.bracketed([*names, message.split("`")[1]]))
    return _misfit(node, value, errors.bracketed(names))


def _step(node: Node, value: Any, key: str) -> tuple[Node, Any]:
    inner: Any = value
    if isinstance(value, dict):
        inner = value.get(key)
    elif isinstance(value, list) and key.isdigit():
        inner = value[int(key)]
    for option in _options(node):
        if isinstance(option, Record) and (found := dict(fields(option.declaration)).get(key)) is not None:
            return found, inner
        if isinstance(option, Many | Mapping):
            return option.of, inner
    return Scalar("Any"), inner


def _options(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Omittable | Maybe):
        return _options(node.of)
    return node.options if isinstance(node, Either) else (node,)


def _misfit(node: Node, value: Any, param: str) -> errors.StripeError:
    options = _options(node)
    if value == "":
        return errors.empty_parameter(param)
    scalars = {option.name for option in options if isinstance(option, Scalar)}
    if isinstance(value, str):
        if "int" in scalars:
            return errors.invalid_integer(param, value)
        if choices := [v for option in options if isinstance(option, Choice) for v in option.values if v != ""]:
            return errors.invalid_choice(param, value, [str(choice) for choice in choices])
        for name, word in (("bool", "boolean"), ("float", "decimal"), ("Decimal", "decimal")):
            if name in scalars:
                return errors.invalid_value(param, f"Invalid {word}: {value}")
        word = "array" if any(isinstance(option, Many) for option in options) else "object"
        return errors.invalid_value(param, f"Invalid {word}")
    word = "array" if any(isinstance(option, Many) for option in options) else "string"
    return errors.invalid_value(param, f"Invalid {word}: {msgspec.json.encode(value).decode()}")

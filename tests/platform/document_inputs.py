"""Every place of the OpenAPI document where a caller may put a value, as a request with a value of one's own there."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.platform.openapi_calls import Operation, operations

Put = Callable[[Any], Any]
Leaf = tuple[str, dict[str, Any], Put]
_DEEPEST = 12
_SAMPLES: dict[str, Any] = {"string": "x", "integer": 1, "number": 1, "boolean": True}


class Input(NamedTuple):
    """A field of an operation's body, or a parameter: its *place*. *param* is how a problem names it."""

    operation: Operation
    place: str
    param: str
    schema: dict[str, Any]
    put: Put

    @property
    def kind(self) -> str:
        """`time`, `text`, `number`; empty for what takes only certain words, or truth."""
        if "enum" in self.schema or "const" in self.schema:
            return ""
        if self.schema.get("format") == "date-time":
            return "time"
        types = self.schema.get("type", ())
        given = {types} if isinstance(types, str) else set(types)
        return "text" if "string" in given else "number" if given & {"integer", "number"} else ""

    def request(self, values: dict[str, str], value: Any) -> tuple[str, str, Any]:
        """The call with *value* there, and *values* in its path: method, path, body."""
        method, example = self.operation.method.upper(), self.operation.body
        if self.place == "path":
            return method, self.operation.filled({**values, self.param: str(value)}), example
        path = self.operation.filled(values)
        if self.place == "query":
            return method, f"{path}?{self.param}={quote(str(value), safe='')}", example
        return method, path, {**example, **self.put(value)}

    def __str__(self) -> str:
        return f"{self.operation}: {self.param}"


def inputs(document: dict[str, Any]) -> list[Input]:
    """All of them."""
    return [each for operation in operations(document) for each in _of(document, operation)]


def _of(document: dict[str, Any], operation: Operation) -> Iterator[Input]:
    for each in operation.said.get("parameters", ()):
        if each["in"] in ("query", "path"):
            for choice in _choices(document, each["schema"]):
                yield Input(operation, each["in"], each["name"], choice, _itself)
    content = operation.said.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        for path, leaf, put in _leaves(document, content["application/json"]["schema"], 0):
            yield Input(operation, "body", path.removeprefix("."), leaf, put)


def _choices(document: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas that *schema* may be, without references."""
    if "$ref" in schema:
        return _choices(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return [found for each in schema["anyOf"] for found in _choices(document, each)]
    return [schema]


def _leaves(document: dict[str, Any], schema: dict[str, Any], depth: int) -> Iterator[Leaf]:
    """Paths to what has no parts, and how to make the whole with a value there."""
    for each in _choices(document, schema) if depth < _DEEPEST else ():
        if "properties" in each:
            base = _sample(document, each)
            for name, inner in each["properties"].items():
                for path, leaf, put in _leaves(document, inner, depth + 1):
                    yield f".{name}{path}", leaf, partial(_in_object, base, name, put)
        elif isinstance(each.get("items"), dict):
            for path, leaf, put in _leaves(document, each["items"], depth + 1):
                yield f"[0]{path}", leaf, partial(_in_list, put)
        elif isinstance(each.get("additionalProperties"), dict):
            for path, leaf, put in _leaves(document, each["additionalProperties"], depth + 1):
                yield f".other{path}", leaf, partial(_in_object, {}, "other", put)
        elif each.get("type") != "null":
            yield "", each, _itself


def _itself(value: Any) -> Any:
    return value


def _in_object(base: dict[str, Any], name: str, put: Put, value: Any) -> dict[str, Any]:
    return {**base, name: put(value)}


def _in_list(put: Put, value: Any) -> list[Any]:
    return [put(value)]


def _sample(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """A smallest value of *schema*."""
    each = _choices(document, schema)[0]
    if "const" in each or "enum" in each:
        return each["const"] if "const" in each else each["enum"][0]
    if each.get("type") == "object":
        return {name: _sample(document, each["properties"][name]) for name in each.get("required", ())}
    if each.get("type") == "array":
        return [_sample(document, each["items"])] if each.get("minItems") else []
    if each.get("format") == "date-time":
        return "2027-01-01T00:00:00Z"
    prefix = re.match(r"\^([a-z]+_)", each.get("pattern", ""))
    return f"{prefix[1]}1" if prefix else _SAMPLES[each["type"]]

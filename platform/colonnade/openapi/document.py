"""Litestar's document, finished: msgspec's schemas, error answers, examples."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import OpenAPI

from colonnade.conventions.deprecation import OPT
from colonnade.conventions.strict import MERGE_PATCH
from colonnade.openapi.answers import Operation, described_errors, errors_of
from colonnade.openapi.examples import Examples
from colonnade.openapi.operations import Types, described
from colonnade.openapi.schemas import components
from colonnade.problems import Problem

JSON = "application/json"
_REF = re.compile(r'"#/components/schemas/([^"]+)"')


@dataclass
class Document(OpenAPI):
    """What `/docs/openapi.json` serves."""

    routes: tuple[Any, ...] = field(default=(), metadata={"exclude": True})

    @property
    def _exclude_fields(self) -> set[str]:
        return super()._exclude_fields | {"routes"}

    def to_schema(self) -> dict[str, Any]:
        """The whole document as JSON's own types."""
        # Litestar leaves values in it that are no JSON, such as a default of bytes.
        found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(super().to_schema()))
        return finished(found, described(self.routes))


@dataclass
class DocumentConfig(OpenAPIConfig):
    """Litestar's configuration, for a `Document` of *routes*."""

    routes: tuple[Any, ...] = ()

    def to_openapi_schema(self) -> OpenAPI:
        """The frame that Litestar puts the paths into."""
        frame = super().to_openapi_schema()
        return Document(**{name: getattr(frame, name) for name in OpenAPI.__dataclass_fields__}, routes=self.routes)


def finished(document: dict[str, Any], routes: dict[str, Types]) -> dict[str, Any]:
    """*document* with the schemas of *routes*, error answers and examples."""
    operations = list(_operations(document))
    wanted = [each for operation in operations for each in _wanted(operation, routes[operation.name])]
    shown, named = components([*wanted, Problem])
    schemas = iter(shown)
    for operation in operations:
        _describe(operation, routes[operation.name], schemas)
    document["components"]["schemas"] |= named
    document["components"]["responses"] = described_errors()
    _prune(document)
    examples = Examples(document["components"]["schemas"])
    for operation in operations:
        examples.add(operation)
    return document


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            yield Operation(method, path, said)


def _wanted(operation: Operation, types: Types) -> Iterator[Any]:
    """The types that `_describe` takes the schemas of, in its order."""
    if types.body is not None:
        yield types.body
    for status, _ in _good(operation):
        yield from types.answer(status)


def _good(operation: Operation) -> list[tuple[str, dict[str, Any]]]:
    """The answers of JSON that are no errors of ours."""
    said = operation.said["responses"].items()
    return [(status, each) for status, each in said if status != "400" and JSON in each.get("content", ())]


def _describe(operation: Operation, types: Types, schemas: Iterator[Any]) -> None:
    said = operation.said
    if types.body is not None:
        content, body = said["requestBody"]["content"], next(schemas)
        for kind in [*content, *([MERGE_PATCH] if operation.method == "patch" else [])]:
            content[kind] = {"schema": body}
    for status, response in _good(operation):
        choices = [next(schemas) for _ in types.answer(status)]
        if choices:
            response["content"][JSON] = {"schema": choices[0] if len(choices) == 1 else {"anyOf": choices}}
    for parameter in said.get("parameters", ()):
        _tidy(parameter)
    said["deprecated"] = bool(said.get("deprecated")) or OPT in types.opt
    said["responses"].pop("400", None)  # Litestar's own shape of an error, which we never answer
    if operation.page and any("text/html" in each.get("content", ()) for each in said["responses"].values()):
        said["responses"].setdefault("303", {"description": "On to another page."})
    said["responses"] = dict(errors_of(operation)) | said["responses"]
    said["responses"] = dict(sorted(said["responses"].items()))


def _tidy(parameter: dict[str, Any]) -> None:
    """A parameter is there or not, and never null; a whole number is no `1.0`."""
    schema = parameter["schema"]
    given = [each for each in schema.pop("oneOf", ()) if each.get("type") != "null"]
    if len(given) == 1:
        schema.update(given[0])
    elif given:
        schema["anyOf"] = given
    for bound in ("minimum", "maximum"):
        if isinstance(schema.get(bound), float) and schema[bound].is_integer():
            schema[bound] = int(schema[bound])
    schema.pop("description", None)  # it is the parameter's
    if parameter["in"] != "query":
        parameter.pop("allowReserved", None)


def _prune(document: dict[str, Any]) -> None:
    """Leave out what Litestar named and nothing refers to any more."""
    schemas, reached = document["components"]["schemas"], set[str]()
    rest = {name: part for name, part in document.items() if name != "components"}
    rest["responses"] = document["components"]["responses"]
    queue = set(_REF.findall(msgspec.json.encode(rest).decode()))
    while queue:
        name = queue.pop()
        reached.add(name)
        queue |= set(_REF.findall(msgspec.json.encode(schemas[name]).decode())) - reached
    document["components"]["schemas"] = {name: schemas[name] for name in sorted(reached)}

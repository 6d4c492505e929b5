"""An example for every request and answer: written by hand where that tells more, else made from the schema.

A made one takes each field's value from `words`, by the field's name, so that examples read alike everywhere.
"""

from typing import Any

from colonnade.openapi.answers import Operation
from colonnade.openapi.words import ABSENT, BODIES, FIELDS, IDS, KEYS, PARAMETERS, WELL, WHOLE

_DEEPEST = 8
"""Of schemas within schemas; what refers to itself ends there."""
_ID = "ntf_01m82w7h3s5t9v1x4z6b8d0g2j"
_PREFIX = "#/components/schemas/"


class Examples:
    """Examples of the schemas named *schemas*."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas

    def add(self, operation: Operation) -> None:
        """Give *operation* its examples."""
        for parameter in operation.said.get("parameters", ()):
            if parameter["name"] in PARAMETERS:
                parameter["example"] = PARAMETERS[parameter["name"]]
            elif parameter["in"] == "path":
                parameter["example"] = self.of(parameter["schema"], parameter["name"])
        for content in operation.said.get("requestBody", {}).get("content", {}).values():
            content["example"] = self._body(operation.name, content["schema"])
        for status, response in operation.said["responses"].items():
            for kind, content in response.get("content", {}).items():
                if status < "300":
                    content["example"] = self._answer(kind, content.get("schema", {}), operation)

    def _body(self, name: str, schema: dict[str, Any]) -> Any:
        if name in BODIES:
            return BODIES[name]
        return self.of(schema, required=True)

    def _answer(self, kind: str, schema: dict[str, Any], operation: Operation) -> Any:
        if kind.startswith("text/event-stream"):
            return (
                "event: settled\ndata: {…}\n\n"
                if operation.page
                else "id: 7\nevent: entitlements.changed\ndata: {…}\n\n"
            )
        if kind.startswith("text/html"):
            return "<!doctype html>…"
        if kind.endswith("ndjson"):
            return '{"table": "customers", …}\n'
        if kind.startswith("image/"):
            return "the picture's bytes"
        return self.of(schema)

    def of(self, schema: dict[str, Any], name: str = "", *, required: bool = False, depth: int = 0) -> Any:
        """An example of *schema*, whose field is called *name*; of an object's fields the *required* ones alone."""
        if ref := schema.get("$ref"):
            component = str(ref).removeprefix(_PREFIX)
            return WHOLE[component] if component in WHOLE else self._named(component, name, required, depth)
        options = schema.get("anyOf") or schema.get("oneOf") or ()
        if options:
            return self._one(options, name, required, depth)
        if words := [schema["const"]] if "const" in schema else schema.get("enum"):
            return next((word for word in WELL if word in words), words[0])
        if (made := FIELDS.get(name)) is not None and _fits(made, schema):
            return made
        return self._by_type(schema, name, required, depth)

    def _named(self, component: str, name: str, required: bool, depth: int) -> Any:
        made = self.of(self._schemas[component], name, required=required, depth=depth + 1)
        if isinstance(made, dict) and isinstance(made.get("id"), str):
            made["id"] = IDS.get(component, _ID)
        if component in KEYS:
            made["key"] = KEYS[component]
        return made

    def _one(self, options: Any, name: str, required: bool, depth: int) -> Any:
        """Of several schemas the one that the field's usual value has, else the first that is not null."""
        real = [each for each in options if each.get("type") != "null"]
        if name in ABSENT and len(real) < len(options):
            return None
        for each in real:
            if (made := FIELDS.get(name)) is not None and "$ref" not in each and _fits(made, each):
                return made
        if depth > _DEEPEST and len(real) < len(options):
            return None
        return self.of(real[0], name, required=required, depth=depth)

    def _by_type(self, schema: dict[str, Any], name: str, required: bool, depth: int) -> Any:
        match schema.get("type"):
            case "object":
                return self._object(schema, required, depth)
            case "array":
                least = schema.get("minItems", 0)
                if depth > _DEEPEST and not least:
                    return []
                return [self.of(schema.get("items") or {}, _singular(name), required=required, depth=depth)]
            case "integer" | "number":
                return max(1, schema.get("minimum", 1))
            case "boolean":
                return schema.get("default", True)
            case "string":
                return _FORMATS.get(schema.get("format", ""), name or "text")
            case "null":
                return None
        return {}

    def _object(self, schema: dict[str, Any], required: bool, depth: int) -> dict[str, Any]:
        wanted = schema.get("required", ()) if required else schema.get("properties", {})
        return {each: self.of(schema["properties"][each], each, required=required, depth=depth) for each in wanted}


_FORMATS = {"date-time": "2026-11-22T10:00:00Z", "date": "2026-11-22"}
_TYPES: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict}


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether *value* is of the schema's type."""
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items", {})
        return isinstance(value, list) and "$ref" not in items and all(_fits(each, items) for each in value)
    if isinstance(value, bool) or kind == "boolean":
        return isinstance(value, bool) and kind == "boolean"
    return isinstance(value, _TYPES.get(str(kind), ()))


def _singular(name: str) -> str:
    return name[:-3] + "y" if name.endswith("ies") else name.removesuffix("s")

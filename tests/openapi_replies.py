"""The local Stripe's replies against an OpenAPI description of the same API version, which is not made from the SDK.

It lies beside the repository where somebody has it; without it nothing is checked here.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parents[2] / "shared" / "stripe" / "openapi.json"
KINDS: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
ERROR = {"advice_code", "code", "decline_code", "doc_url", "message", "param", "request_log_url", "type"}


@contextmanager
def recorded(folder: Path) -> Iterator[Path]:
    """A file for sandboxes to record their replies in; at the end all must fit the schema, where it is at hand."""
    file = folder / "replies.jsonl"
    yield file
    if SCHEMA.exists() and file.exists():
        problems = problems_of(file)
        assert problems == [], "\n".join(problems)


def problems_of(file: Path) -> list[str]:
    """What misfits in recorded replies, each misfit once."""
    found: dict[str, None] = {}
    for line in sorted(set(file.read_bytes().splitlines())):
        reply = json.loads(line)
        for problem in _problems(reply["status"], reply["body"]):
            found.setdefault(f"{reply['method']} {problem}")
    return list(found)


def _problems(status: int, body: Any) -> Iterator[str]:
    if status >= 400:
        surplus = set(body["error"]) - ERROR
        if surplus or not {"message", "type"} <= set(body["error"]):
            yield f"error: {sorted(body['error'])}"
    elif body.keys() == {"id", "object"}:
        return  # a deletion in the V2 API
    elif body.get("object") == "list" and not body["url"].startswith("/v2/"):
        for item in body["data"]:
            yield from _object_problems(item)
    else:
        yield from _object_problems(body)


def _object_problems(value: Any) -> Iterator[str]:
    kind = value.get("object")
    name = f"deleted_{kind}" if value.get("deleted") else str(kind)
    if name in schemas():
        # The V2 API sends null for what `include` did not ask for; the schema leaves such fields out.
        sent = _without_nulls(value) if name.startswith("v2.") else value
        yield from schema_problems(schemas()[name], sent, name)
    if kind == "event" and "data" in value:
        # An upcoming invoice does not exist yet, so its event's object has no id.
        about = value["data"]["object"]
        yield from _object_problems({"id": ""} | about if value["type"] == "invoice.upcoming" else about)


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}


@cache
def schemas() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SCHEMA.read_text("utf-8"))["components"]["schemas"]
    return loaded


def schema_problems(schema: Any, value: Any, path: str) -> Iterator[str]:
    """How a value misses an OpenAPI 3.0 schema: names, types, enums."""
    if "$ref" in schema:
        schema = schemas()[schema["$ref"].rpartition("/")[2]]
    if value is None:
        if not schema.get("nullable"):
            yield f"{path}: null"
        return
    if alternatives := schema.get("anyOf") or schema.get("oneOf"):
        misfits = [list(schema_problems(option, value, path)) for option in alternatives]
        if all(misfits):
            yield min(misfits, key=len)[0]
        return
    if "enum" in schema and not schema.get("x-openEnum") and value not in schema["enum"]:
        yield f"{path}: {value!r}"
    if "type" in schema and not isinstance(value, KINDS[schema["type"]]):
        yield f"{path}: {value!r} is no {schema['type']}"
    elif isinstance(value, dict) and "properties" in schema:
        yield from _field_problems(schema, value, path)
    elif isinstance(value, list):
        for inner in value:
            yield from schema_problems(schema.get("items", {}), inner, f"{path}[]")


def _field_problems(schema: Any, value: dict[str, Any], path: str) -> Iterator[str]:
    for name in schema.get("required", []):
        if name not in value:
            yield f"{path}.{name}: missing"
    for name, inner in value.items():
        if name in schema["properties"]:
            yield from schema_problems(schema["properties"][name], inner, f"{path}.{name}")
        elif schema.get("additionalProperties") in (None, False):
            yield f"{path}.{name}: not in the schema"

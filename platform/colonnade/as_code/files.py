"""Reading and writing the file: YAML, TOML or JSON by its name."""

import json
import tomllib
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from colonnade.as_code.document import Document
from colonnade.errors import Invalid


class _Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def load(path: Path) -> Document:
    """The file's contents. Raises `Invalid` with the place of what is wrong, and `OSError`."""
    data = path.read_bytes()
    readers: dict[str, Callable[[bytes], Any]] = {".toml": _toml, ".json": json.loads, ".yaml": _yaml, ".yml": _yaml}
    try:
        read = readers[path.suffix.lower()]
    except KeyError:
        raise Invalid(f"{path.name}: name the file .yaml, .yml, .toml or .json.") from None
    try:
        return msgspec.convert(read(data), Document)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Invalid(f"{path.name}: {error}") from error


def _toml(data: bytes) -> Any:
    return tomllib.loads(data.decode())


def _yaml(data: bytes) -> Any:
    return yaml.load(data, _Strict)  # noqa: S506 - a safe loader


def dump(document: Document) -> str:
    """*document* as YAML: fields in the order of the API, names sorted; what is not set or off is left out."""
    return yaml.safe_dump(_short(msgspec.to_builtins(document)), sort_keys=False, allow_unicode=True, width=120)


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _short(inner) for name, inner in value.items()}
    return {name: inner for name, inner in kept.items() if inner not in (None, [], {}, {"enabled": False})}

"""Reading and writing the file: YAML, TOML or JSON by its name."""

import json
import sys
import tomllib
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from colonnade.as_code.document import Document, FeatureText, PlanText, TenantText
from colonnade.conventions.bounds import require_bounds
from colonnade.conventions.wording import wrong
from colonnade.errors import Invalid
from colonnade.portals.configurations import PutConfiguration


class _Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def load(path: Path) -> Document:
    """The file's contents; `-`: what comes on standard input, as YAML, which JSON is too.

    Raises `Invalid` with the place of what is wrong, and `OSError`.
    """
    if path == Path("-"):
        return _read("standard input", sys.stdin.buffer.read(), _yaml)
    readers: dict[str, Callable[[bytes], Any]] = {".toml": _toml, ".json": json.loads, ".yaml": _yaml, ".yml": _yaml}
    data = path.read_bytes()
    try:
        read = readers[path.suffix.lower()]
    except KeyError:
        raise Invalid(f"{path.name}: name the file .yaml, .yml, .toml or .json.") from None
    return _read(path.name, data, read)


def _read(name: str, data: bytes, read: Callable[[bytes], Any]) -> Document:
    try:
        found = _document(read(data))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Invalid(f"{name}: {error}") from error
    require_bounds(found)
    return found


def _document(raw: Any) -> Document:
    try:
        return msgspec.convert(raw, Document)
    except msgspec.ValidationError as error:
        for path, part, kind in _parts(raw):
            try:
                msgspec.convert(part, kind)
            except msgspec.ValidationError as narrower:
                detail, param = wrong(str(narrower), kind)
                raise ValueError(f"{path}{f'.{param}' if param else ''}: {detail}") from error
        detail, param = wrong(str(error), Document)
        raise ValueError(f"{param or 'the file'}: {detail}") from error


def _parts(raw: Any) -> Iterator[tuple[str, Any, Any]]:
    """The parts that have a name of the tenant's: in the whole, msgspec says `[...]` for a name."""
    for tenant, text in _named(raw, "tenants"):
        path = f"tenants.{tenant}"
        for section, kind in (("features", FeatureText), ("plans", PlanText)):
            yield from ((f"{path}.{section}.{key}", part, kind) for key, part in _named(text, section))
        for name, part in _named(text.get("portal") if isinstance(text, dict) else None, "configurations"):
            yield f"{path}.portal.configurations.{name}", part, PutConfiguration
        yield path, text, TenantText


def _named(value: Any, key: str) -> list[tuple[Any, Any]]:
    found = value.get(key) if isinstance(value, dict) else None
    return [*found.items()] if isinstance(found, dict) else []


def _toml(data: bytes) -> Any:
    return tomllib.loads(data.decode())


def _yaml(data: bytes) -> Any:
    return yaml.load(data, _Strict)  # noqa: S506 - a safe loader


def writer(path: Path | None) -> Callable[[Document], str]:
    """What makes the text of a file of that name; None: YAML. Raises `Invalid` for a name that is of no such format."""
    writers: dict[str, Callable[[Document], str]] = {".json": _json, ".yaml": dump, ".yml": dump}
    if path is None:
        return dump
    if path.suffix.lower() not in writers:
        raise Invalid(f"{path.name}: name the file .yaml, .yml or .json. TOML is read, and not written.")
    return writers[path.suffix.lower()]


def dump(document: Document) -> str:
    """*document* as YAML: fields in the order of the API, names sorted; what is as it is without saying is left out."""
    return yaml.safe_dump(_short(document), sort_keys=False, allow_unicode=True, width=120)


def _json(document: Document) -> str:
    return json.dumps(_short(document), indent=2, ensure_ascii=False) + "\n"


def _short(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    if isinstance(value, dict):
        return {name: _short(inner) for name, inner in value.items()}
    if not isinstance(value, msgspec.Struct):
        return value
    given = ((field, getattr(value, field.name)) for field in msgspec.structs.fields(value))
    return {field.encode_name: _short(inner) for field, inner in given if not _is_default(field, inner)}


def _is_default(field: msgspec.structs.FieldInfo, value: Any) -> bool:
    made = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
    return made is not msgspec.NODEFAULT and bool(value == made)

"""Stripe's form encoding: `items[0][price]=x`, `expand[]=y`, an empty text to unset."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from colonnade_sandbox import errors

# Objects with free keys, where `metadata[0]` is a key and not an index.
FREE_KEYS = frozenset({"metadata", "currency_options"})
MOST_FIELDS = 5000
TOKENS = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a multipart form."""

    filename: str | None
    content_type: str
    content: bytes


def parse(text: str) -> dict[str, Any]:
    """Nested parameters of a form body or query string, all leaves text.

    Raises StripeError (400) where two keys contradict each other.
    """
    try:
        return nest(parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        text = f"Invalid request: at most {MOST_FIELDS} parameters are taken."
        raise errors.StripeError(400, text, storable=False) from None


def nest(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for key, value in pairs:
        name, *tokens = [key.partition("[")[0], *TOKENS.findall(key)]
        _put(root, [name, *tokens], value, key)
    return {name: _arrays(name, value) for name, value in root.items()}


def _put(root: dict[str, Any], tokens: list[str], value: str, key: str) -> None:
    at = root
    for i, token in enumerate(tokens[:-1]):
        place = _index(at, tokens[i + 1]) if token == "" else token
        inner = at.setdefault(place, {})
        if not isinstance(inner, dict):
            raise errors.invalid_value(key, f"Invalid request: {key} contradicts another parameter.")
        at = inner
    last = tokens[-1] or str(len(at))
    if last in at:
        raise errors.invalid_value(key, f"Invalid request: {key} was given more than once.")
    at[last] = value


def _index(at: dict[str, Any], following: str) -> str:
    """Where `a[][b]=…` goes: into the newest element until it has a `b`, then into the next."""
    newest = at.get(str(len(at) - 1))
    if isinstance(newest, dict) and following not in newest:
        return str(len(at) - 1)
    return str(len(at))


def _arrays(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    done = {key: _arrays(key, inner) for key, inner in value.items()}
    if name not in FREE_KEYS and done and all(key.isdigit() for key in done):
        return [done[key] for key in sorted(done, key=int)]
    return done


def encode(params: dict[str, Any]) -> str:
    """Nested parameters as a query string."""
    return urlencode(list(_flat(params, "")))


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in inner:
            yield from _flat(part, f"{name}[{key}]" if name else str(key))
    else:
        yield name, str(value)


def json_object(body: bytes) -> dict[str, Any]:
    """The parameters of a V2 call.

    Raises StripeError (400) for a body that is no JSON object.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any]) if body else {}
    except msgspec.MsgspecError as problem:
        raise errors.StripeError(400, f"Invalid JSON: {problem}", code="invalid_json", storable=False) from None


def multipart(content_type: str, body: bytes) -> dict[str, Part]:
    """The parts of a `multipart/form-data` body by field name."""
    found = re.search(r'multipart/form-data;.*boundary="?([^";]+)', content_type)
    if found is None:
        return {}
    parts = {}
    for section in body.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = section.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = head.decode("utf-8", "replace")
        name = re.search(r'\bname="([^"]*)"', headers)
        filename = re.search(r'filename="([^"]*)"', headers)
        kind = re.search(r"content-type:\s*(\S+)", headers, re.IGNORECASE)
        if name is not None:
            type_ = kind[1] if kind else "text/plain"
            parts[name[1]] = Part(filename[1] if filename else None, type_, content.removesuffix(b"\r\n"))
    return parts

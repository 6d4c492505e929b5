"""What may have become of a body on its way, undone: the bytes that Stripe may have signed instead of those that came.

Each candidate is bounded: a body of at most `LIMIT` bytes, and no more than four times that unpacked.
"""

import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

LIMIT = 256 * 1024
"""Bytes of a body that is looked into."""
_UNPACKED = 4 * LIMIT
_BOM = b"\xef\xbb\xbf"

Candidate = tuple[str, str, bytes]
"""The cause's name, what happened, and the bytes before it."""

_GONE = (ValueError, RecursionError, OverflowError, zlib.error, EOFError, LookupError)


def recodings(body: bytes) -> Iterator[Candidate]:
    """Candidates for the original of *body*, the cheap ones first."""
    for undo in (_line_endings, _charset, _base64, _json_string, _packed, _unpacked, _json):
        with suppress(*_GONE):
            yield from undo(body)


def _line_endings(body: bytes) -> Iterator[Candidate]:
    name = "line endings"
    yield name, "Its lines ended in LF, and came ending in CRLF.", body.replace(b"\r\n", b"\n")
    yield name, "Its lines ended in CRLF, and came ending in LF.", body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    yield name, "Its lines ended in LF, and came ending in CR.", body.replace(b"\r", b"\n")
    for end in (b"\n", b"\r\n"):
        yield name, "The line end after its last line was lost.", body + end
    yield name, "White space was put around it.", body.strip()


def _charset(body: bytes) -> Iterator[Candidate]:
    name = "charset"
    if body.startswith(_BOM):
        yield name, "A byte order mark was put before it.", body[len(_BOM) :]
    for codec in ("utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"):
        with suppress(*_GONE):
            yield name, f"It came as {codec} instead of UTF-8.", body.decode(codec).encode()
    for codec in ("latin-1", "cp1252"):
        with suppress(*_GONE):
            yield name, f"Its UTF-8 was read as {codec} and encoded again.", body.decode().encode(codec)


def _base64(body: bytes) -> Iterator[Candidate]:
    text = b"".join(body.split()).strip(b'"')
    padded = text + b"=" * (-len(text) % 4)
    for alphabet in (b"+/", b"-_"):
        with suppress(*_GONE):
            yield "base64", "It came in base64.", base64.b64decode(padded, altchars=alphabet, validate=True)


def _json_string(body: bytes) -> Iterator[Candidate]:
    text = json.loads(body)
    if isinstance(text, str):
        yield "JSON string", "It came as a JSON string that holds the event.", text.encode()


def _packed(body: bytes) -> Iterator[Candidate]:
    for bits in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip or zlib by their header; bare deflate
        with suppress(*_GONE):
            yield "compressed", "It came compressed.", zlib.decompressobj(bits).decompress(body, _UNPACKED)


def _unpacked(body: bytes) -> Iterator[Candidate]:
    for level in (9, 6, 1):
        yield "decompressed", "It was compressed when it was signed.", gzip.compress(body, level, mtime=0)
        yield "decompressed", "It was compressed when it was signed.", zlib.compress(body, level)


_LAYOUTS: dict[str, dict[str, Any]] = {
    "indented by two": {"indent": 2},
    "compact": {"separators": (",", ":")},
    "with spaces": {"separators": (", ", ": ")},
    "indented by four": {"indent": 4},
}


def _json(body: bytes) -> Iterator[Candidate]:
    value = json.loads(body)
    for order, arranged in {"its keys as they came": value, "its keys in Stripe's order": stripe_order(value)}.items():
        for layout, options in _LAYOUTS.items():
            for ascii_only in (False, True):
                text = json.dumps(arranged, ensure_ascii=ascii_only, **options)
                said = f"It was JSON {layout}, {order}, and was written anew."
                yield "JSON written anew", said, text.encode()


def stripe_order(value: Any) -> Any:
    """*value* with the keys of its objects as Stripe sends them: `id`, `object`, then by the alphabet.

    Source: the examples of Stripe's API reference.
    """
    if isinstance(value, list):
        return [stripe_order(item) for item in value]
    if not isinstance(value, dict):
        return value
    first = [name for name in ("id", "object") if name in value]
    return {name: stripe_order(value[name]) for name in [*first, *sorted(value.keys() - set(first))]}

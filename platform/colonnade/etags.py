"""`ETag` and `If-Match`: an edit is refused where the thing changed since the caller read it (RFC 9110)."""

import hashlib
from typing import Annotated, TypeVar

import msgspec
from litestar import Response
from litestar.params import HeaderParameter

from colonnade.errors import PreconditionFailed

T = TypeVar("T")

IfMatch = Annotated[
    str | None,
    HeaderParameter(name="If-Match", max_length=500, description="The `ETag` last read; refused if it changed since."),
]


def etag(shown: object) -> str:
    """The entity tag of what the API shows."""
    return f'"{hashlib.sha256(msgspec.json.encode(shown, order="sorted")).hexdigest()[:24]}"'


def require_match(if_match: str | None, shown: object | None) -> None:
    """Raise `PreconditionFailed` unless *if_match* names *shown*, which is None while it does not exist."""
    if if_match is None:
        return
    wanted = {tag.strip() for tag in if_match.split(",")}
    if shown is None or ("*" not in wanted and etag(shown) not in wanted):
        raise PreconditionFailed("It changed since you read it; read it again.", "If-Match")


def tagged(shown: T) -> Response[T]:
    """*shown* with its `ETag`."""
    return Response(shown, headers={"ETag": etag(shown)})


def is_known(none_match: str, tag: str) -> bool:
    """Whether the header `If-None-Match` says that the caller has what *tag* stands for, by weak comparison."""
    wanted = {each.strip().removeprefix("W/") for each in none_match.split(",")}
    return "*" in wanted or tag.removeprefix("W/") in wanted

"""What the routes that change a catalogue share: `If-Match`, and the answer's headers."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from litestar import Response

from colonnade.access import audit
from colonnade.errors import NotFound
from colonnade.etags import etag, require_match
from colonnade_tenants import locks
from colonnade_tenants.partition import TenantSession

T = TypeVar("T")

_LOGGED = (
    *("kind", "name", "unit", "combine", "fallback"),  # of a feature
    *("price", "product", "grants"),  # of a plan
    *("grace", "trials", "pause_collection"),  # of a policy
    "effective_from",
)

RECOMPUTATION = "Recomputation"
"""The header that names what a change still has to reach (`rec_…`); without it, everybody has it already."""


async def unchanged_since(session: TenantSession, if_match: str | None, now: Callable[[], Awaitable[object]]) -> None:
    """Raise `PreconditionFailed` unless *if_match* names what is there *now*, and keep it so until the end."""
    await locks.change_catalogue(await session.twin())
    try:
        shown: object | None = await now()
    except NotFound:
        shown = None
    require_match(if_match, shown)
    if shown is not None:
        audit.note(before=audit.named(shown, *_LOGGED))


def changed(shown: T, recomputation: str | None) -> Response[T]:
    """*shown* with its `ETag`, and what is left to do. To be called before the transaction ends."""
    audit.note(after=audit.named(shown, *_LOGGED))
    return Response(shown, headers={"ETag": etag(shown), **left(recomputation)})


def left(recomputation: str | None) -> dict[str, str]:
    """The header, if anything is left to do."""
    return {} if recomputation is None else {RECOMPUTATION: recomputation}

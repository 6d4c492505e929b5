"""What the audit log's line of a portal configuration says: numbers of versions, which keep what each said."""

from typing import Any

from colonnade.access import audit
from colonnade.portals import store
from colonnade.portals.drifts import Drift

_ROW = {"version": "version", "active": "active", "is_default": "default"}


def write(former: store.Row | None, *, version: int, active: bool, default: bool) -> None:
    """What a write makes of *former*."""
    _note(_fields(former), {"version": version, "active": active, "default": default})


def edits(row: store.Row, found: Drift) -> None:
    """That edits of others are adopted or reverted: the names of what they changed, `edited`."""
    names = [each.field for each in found.differences]
    _note({**(_fields(row) or {}), "edited": names}, _fields(row))


def nothing() -> None:
    """That there were no edits to adopt or revert."""
    if audit.changes("portal_configuration"):
        audit.unneeded()


def _fields(row: store.Row | None) -> dict[str, Any] | None:
    return None if row is None else {name: getattr(row, field) for field, name in _ROW.items()}


def _note(before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
    if audit.changes("portal_configuration"):  # a change of the branding writes configurations too
        audit.note(before=before, after=after)

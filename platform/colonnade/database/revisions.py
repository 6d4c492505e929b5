"""Where the database's schema stands, against the migrations of this release.

A revision's id says all that is known of it: `0023` is newer than `0022`, and what this release has no migration for is
a newer release's or another branch's, which nobody can tell apart here.
"""

import functools
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import asyncpg
from alembic.script import ScriptDirectory


class Standing(StrEnum):
    """`newer` serves: while a release is rolled out or back, the one before runs on the schema of the one after."""

    CURRENT = "current"
    PENDING = "pending"
    NEWER = "newer"
    STRANGE = "strange"


class StrangeSchema(Exception):
    """The database was migrated by something that is neither this release, nor one before or after it."""


class Schema(NamedTuple):
    """*found*: the revisions that the database is at, none in one that is empty; *known*: this release's, in order."""

    found: frozenset[str]
    known: Sequence[str]

    @property
    def standing(self) -> Standing:
        unknown = self.found.difference(self.known)
        if any(each < self.known[-1] for each in unknown):
            return Standing.STRANGE
        if unknown:
            return Standing.NEWER
        return Standing.CURRENT if self.found == {self.known[-1]} else Standing.PENDING

    @property
    def pending(self) -> list[str]:
        """The migrations that have not run yet."""
        return [each for each in self.known if each > max(self.found, default="")]

    @property
    def sentence(self) -> str:
        at, newest = ", ".join(sorted(self.found)), self.known[-1]
        match self.standing:
            case Standing.CURRENT:
                return f"The database is at {newest}, the newest migration."
            case Standing.PENDING if not self.found:
                return "The database is empty: no migration has run."
            case Standing.PENDING:
                return f"Pending, after {at}: {', '.join(self.pending)}."
            case Standing.NEWER:
                return f"The database is at {at}, newer than this release, which ends with {newest}."
            case Standing.STRANGE:
                return (
                    f"The database is at {at}, which is none of this release's migrations ({self.known[0]} to {newest})"
                    " and not newer: another branch's, or not Colonnade's."
                )


def script_location() -> Path:
    """The migrations: beside the source, or inside the installed package."""
    checkout = Path(__file__).parents[3] / "migrations"
    return checkout if checkout.is_dir() else Path(__file__).parents[1] / "_migrations"


@functools.cache
def known() -> tuple[str, ...]:
    """This release's migrations, the newest last."""
    return tuple(sorted(each.revision for each in ScriptDirectory(str(script_location())).walk_revisions()))


async def schema(connection: asyncpg.Connection | asyncpg.Pool) -> Schema:
    """Where the database stands that *connection* leads to."""
    try:
        rows = await connection.fetch("select version_num from alembic_version")
    except asyncpg.UndefinedTableError:
        rows = []
    return Schema(frozenset(row["version_num"] for row in rows), known())

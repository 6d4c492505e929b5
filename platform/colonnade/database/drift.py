"""How the tables differ from the models, in words: Alembic's comparison, without what only looks like a difference."""

from collections.abc import Iterator
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from colonnade.database import tables
from colonnade_tenants.tables import metadata as tenant_metadata

METADATA: Any = [tables.metadata, tenant_metadata]


def _is_partition(name: str) -> bool:
    table, separator, number = name.rpartition("_p")
    return bool(separator) and number.isdigit() and table in tenant_metadata.tables


def _named(name: str | None, kind: str, _parents: Any) -> bool:
    """Autogenerate looks at declared tables; the migrations' own SQL makes their partitions."""
    return not (kind == "table" and _is_partition(name or ""))


def _included(item: Any, _name: str | None, kind: str, reflected: bool, _other: Any) -> bool:
    """PostgreSQL lists a foreign key to a partitioned table once more for each of its partitions."""
    return not (
        kind == "foreign_key_constraint" and reflected and _is_partition(item.elements[0].target_fullname.split(".")[0])
    )


COMPARISON: dict[str, Any] = {
    "target_metadata": METADATA,
    "include_name": _named,
    "include_object": _included,
}


def differences(connection: Connection) -> list[str]:
    """One line for each, none where there is none. Functions, policies and grants are not compared."""
    found = compare_metadata(MigrationContext.configure(connection, opts=COMPARISON), METADATA)
    return [_in_words(each) for each in _operations(found)]


def _operations(found: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Alembic gives what is modified of one column as a list of its own."""
    for each in found:
        yield from each if isinstance(each, list) else [each]


def _in_words(operation: tuple[Any, ...]) -> str:
    """An operation says what would make the table as the model is: to add what is missing, remove what is too much."""
    verb, _, kind = operation[0].partition("_")
    if verb == "modify":
        table, column, was, wanted = operation[2], operation[3], operation[-2], operation[-1]
        return f"column {table}.{column}: {kind} is {was}, not {wanted}"
    thing = operation[-1]
    name = {"table": thing.name, "column": f"{operation[-2]}.{thing.name}"}.get(
        kind, f"{thing.name} of {_table(thing)}"
    )
    word = "foreign key" if kind == "fk" else kind
    return f"{word} {name} " + ("is missing" if verb == "add" else "is not of this release")


def _table(thing: Any) -> str:
    return thing.table.name if hasattr(thing, "table") else "?"

"""Every object of the sandbox, in memory by account and kind, written through to a SQLite file if there is one.

Stored objects are never changed in place: `put` replaces one. So a failed call is undone by putting the old
ones back, and what was read before stays as it was. Kinds that begin with `_` are the sandbox's own.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

Object = dict[str, Any]
# What belongs to no account: tokens of hosted pages, settings of the sandbox itself.
NOWHERE = ""

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    UNIQUE (account, kind, id)
)
"""
UPSERT = """
INSERT INTO objects (account, kind, id, body) VALUES (?, ?, ?, ?)
ON CONFLICT (account, kind, id) DO UPDATE SET body = excluded.body
"""
DELETE = "DELETE FROM objects WHERE account = ? AND kind = ? AND id = ?"


class _Over(Exception):
    """The end of a rehearsal."""


class Store:
    """Objects by (account, kind, id); iteration runs from the newest to the oldest."""

    def __init__(self, file: Path | None = None) -> None:
        self._tables: dict[tuple[str, str], dict[str, Object]] = {}
        # Whether what is written now will be undone in any case.
        self.rehearsing = False
        self._undo: list[tuple[str, str, str, Object | None]] | None = None
        self._changed: dict[tuple[str, str, str], Object | None] = {}
        self._database = self._open(file) if file is not None else None

    def _open(self, file: Path) -> sqlite3.Connection:
        file.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(file, isolation_level=None)
        # With NORMAL a killed process loses nothing; only a power cut may lose the last calls.
        database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + SCHEMA)
        for account, kind, key, body in database.execute(
            "SELECT account, kind, id, body FROM objects ORDER BY sequence"
        ):
            self._tables.setdefault((account, kind), {})[key] = msgspec.json.decode(body)
        return database

    def find(self, account: str, kind: str, key: str) -> Object | None:
        return self._tables.get((account, kind), {}).get(key)

    def all(self, account: str, kind: str) -> Iterator[Object]:
        return reversed(list(self._tables.get((account, kind), {}).values()))

    def everywhere(self, kind: str) -> Iterator[tuple[str, Object]]:
        """Objects of one kind with their account, oldest first within an account."""
        for (account, table), objects in list(self._tables.items()):
            if table == kind:
                for value in list(objects.values()):
                    yield account, value

    def kinds(self, account: str) -> list[str]:
        """The kinds of which the account has objects."""
        return [kind for (owner, kind), table in self._tables.items() if owner == account and table]

    def put(self, account: str, kind: str, key: str, value: Object) -> None:
        table = self._tables.setdefault((account, kind), {})
        self._remember(account, kind, key, table.get(key), value)
        table[key] = value

    def delete(self, account: str, kind: str, key: str) -> None:
        table = self._tables.get((account, kind), {})
        if key in table:
            self._remember(account, kind, key, table.pop(key), None)

    def _remember(self, account: str, kind: str, key: str, old: Object | None, new: Object | None) -> None:
        if self._undo is None:
            raise RuntimeError("The store is written inside `with store.transaction()` only.")
        self._undo.append((account, kind, key, old))
        self._changed[account, kind, key] = new

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block's writes, or none if it raises; a block inside another is undone alone.

        An exception that says `kept` leaves what was written: a declined charge has happened.
        """
        if self._undo is not None:
            mark = len(self._undo)
            try:
                yield
            except BaseException as problem:
                if not getattr(problem, "kept", False):
                    self._roll_back(mark)
                raise
            return
        self._undo, self._changed = [], {}
        try:
            yield
            self._write()
        except BaseException as problem:
            if getattr(problem, "kept", False):
                self._write()
            else:
                self._roll_back(0)
            raise
        finally:
            self._undo = None

    def _roll_back(self, mark: int) -> None:
        undo = self._undo or []
        while len(undo) > mark:
            account, kind, key, old = undo.pop()
            table = self._tables.setdefault((account, kind), {})
            self._changed[account, kind, key] = old
            if old is None:
                table.pop(key, None)
            else:
                table[key] = old

    def _write(self) -> None:
        if self._database is None or not self._changed:
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for (account, kind, key), value in self._changed.items():
                if value is None:
                    self._database.execute(DELETE, (account, kind, key))
                else:
                    self._database.execute(UPSERT, (account, kind, key, msgspec.json.encode(value)))
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """The block sees its writes, and nobody else ever does: all are undone at its end."""
        outer, self.rehearsing = self.rehearsing, True
        try:
            with self.transaction():
                yield
                raise _Over
        except _Over:
            return
        finally:
            self.rehearsing = outer

    def written(self) -> list[tuple[str, str, str]]:
        """Account, kind and id of everything that the last transaction wrote."""
        return list(self._changed)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()

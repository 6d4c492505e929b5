"""A worker's unit of work: what events of one tenant read is read together, what they change is written together.

Handlers take one event at a time and see what those before them did, from memory. Each event's changes are taken back
if its handler raises, so that a failed event leaves nothing. A statement of a handler's own comes as if
all were written already: what is gathered is written first, a savepoint begins, and what was read is forgotten.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from colonnade_tenants import locks
from colonnade_tenants.partition import K, Kind, Statement, TenantConnection, V

_BIND = "select set_config('colonnade.tenant', $1, true), pg_advisory_xact_lock_shared(hashtextextended($2, $3))"

_Rows = dict[Kind[Any, Any], dict[Any, Any]]


class _Change(msgspec.Struct, frozen=True):
    """A `put` of the event in hand, and how to take it back.

    *before* is what was read, `_UNREAD` if nothing was; *first*: nothing was to be written under the key before.
    """

    kind: Kind[Any, Any]
    key: Any
    new: Any
    old: Any
    before: Any
    first: bool


_UNREAD = object()


class CannotUndo(Exception):
    """An event failed, and in memory alone it cannot be undone: the whole unit has to be."""


class Unit(TenantConnection):
    """Events of one tenant, read and written together; made by `Units`."""

    def __init__(self, connection: asyncpg.Connection, tenant_id: int) -> None:
        super().__init__(connection, tenant_id)
        self._plain = TenantConnection(connection, tenant_id)
        self._plain.held = self.held
        self._read: _Rows = defaultdict(dict)
        """What the database has, and what the events made of it."""
        self._written: _Rows = defaultdict(dict)
        """Of what is to be written, what the database has."""
        self._changes: list[_Change] = []
        """What the event in hand changed."""
        self._savepoint: tuple[set[object], bool] | None = None
        """Locks held, and whether rows were made, when the event's savepoint began; None: it has none."""
        self._broken = False
        """Whether a statement failed, so that PostgreSQL takes no other before a rollback."""

    async def load(self, kind: Kind[K, V], keys: Iterable[K]) -> dict[K, V | None]:
        """As the base, reading only what was not read yet, and seeing what is not written yet."""
        wanted, read = list(keys), self._read[kind]
        if missing := [key for key in wanted if key not in read]:
            async with self._watched():
                found = await kind.load(self._plain, list(dict.fromkeys(missing)))
            read.update({key: found.get(key) for key in missing})
        return {key: read[key] for key in wanted}

    async def get(self, kind: Kind[K, V], key: K) -> V | None:
        """As the base, seeing what is not written yet."""
        read = self._read[kind]
        if key not in read:
            await self.load(kind, [key])
        found: V | None = read[key]
        return found

    async def put(self, kind: Kind[K, V], key: K, new: V, old: V | None) -> None:
        """As the base, written at the unit's end."""
        read, written = self._read[kind], self._written[kind]
        self._changes.append(_Change(kind, key, new, old, read.get(key, _UNREAD), key not in written))
        read[key] = new
        written.setdefault(key, old)

    async def fetch(self, statement: Statement, **values: Any) -> list[asyncpg.Record]:
        """As the base, in the event's savepoint."""
        await self._directly()
        async with self._watched():
            return await super().fetch(statement, **values)

    async def execute(self, statement: Statement, **values: Any) -> int:
        """As the base, in the event's savepoint."""
        await self._directly()
        async with self._watched():
            return await super().execute(statement, **values)

    async def execute_many(self, statement: Statement, rows: Any) -> None:
        """As the base, in the event's savepoint."""
        await self._directly()
        async with self._watched():
            await super().execute_many(statement, rows)

    async def event(self, handle: Callable[[], Awaitable[None]], *, apart: bool = False) -> None:
        """Have one event handled; what that raises undoes what it did. Raises `CannotUndo`.

        *apart*: with a savepoint from the start, and written at its end, so that nothing of it can fail later.
        """
        made = apart and self._plain.made
        try:
            if apart:
                await self._begin()
            await handle()
            if apart:
                await self._directly()
            if self._broken:
                raise RuntimeError("The handler went on after a statement that failed.")
        except BaseException as error:
            await self._undo()
            if self._broken or self._plain.made > made:
                raise CannotUndo from error
            raise
        self._changes, self._savepoint = [], None

    async def flush(self) -> None:
        """Write what the events changed, each kind in one go."""
        written, self._written = self._written, defaultdict(dict)
        for kind, old in written.items():
            if not old:
                continue  # all of it was taken back
            read = self._read[kind]
            async with self._watched():
                await kind.save(self._plain, {key: (before, read[key]) for key, before in old.items()})

    async def _begin(self) -> None:
        """The event's savepoint, after what the events before it changed."""
        if self._savepoint is None:
            changes = self._take_back()
            await self.flush()
            async with self._watched():
                await self._connection.execute("savepoint colonnade_event")
            self._savepoint = set(self.held), self._plain.made
            for each in changes:
                await self.put(each.kind, each.key, each.new, each.old)

    async def _directly(self) -> None:
        """Be as if all were written already."""
        await self._begin()
        await self.flush()
        self._changes, self._read = [], defaultdict(dict)

    def _take_back(self) -> list[_Change]:
        """Forget what the event in hand changed; what that was."""
        changes, self._changes = self._changes, []
        for each in reversed(changes):
            if each.before is _UNREAD:
                del self._read[each.kind][each.key]
            else:
                self._read[each.kind][each.key] = each.before
            if each.first:
                del self._written[each.kind][each.key]
        return changes

    async def _undo(self) -> None:
        self._take_back()
        if self._savepoint is not None and not self._connection.is_closed():
            await self._connection.execute("rollback to savepoint colonnade_event")
            held, self._plain.made = self._savepoint
            self.held.intersection_update(held)
            self._read, self._written = defaultdict(dict), defaultdict(dict)
            self._broken, self._savepoint = False, None

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            self._broken = True
            raise


class Units:
    """One unit after the other in the transaction of *connection*, each confined to one tenant."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._savepoint = False

    @asynccontextmanager
    async def undoable(self) -> AsyncIterator[None]:
        """A block for some units; an exception undoes what they did. Beginning one releases the last."""
        release = "release savepoint colonnade_units; " if self._savepoint else ""
        await self.connection.execute(f"{release}savepoint colonnade_units")
        self._savepoint = True
        try:
            yield
        except BaseException:
            if not self.connection.is_closed():
                await self.connection.execute("rollback to savepoint colonnade_units")
            raise

    @asynccontextmanager
    async def tenant(self, tenant_id: int) -> AsyncIterator[Unit]:
        """A block as one tenant, its catalogue locked; at its end all is written."""
        if not self.connection.is_in_transaction():
            raise RuntimeError("a tenant is bound for a transaction, and none is open")
        await self.connection.execute(_BIND, str(tenant_id), locks.CATALOGUE, tenant_id)
        unit = Unit(self.connection, tenant_id)
        unit.held.add(locks.CATALOGUE)
        yield unit
        await unit.flush()

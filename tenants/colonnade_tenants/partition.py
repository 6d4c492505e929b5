"""The tenant tables' metadata, and the ways to reach them: a session, or a connection (a worker's is a `unit.Unit`).

Every tenant table is `PARTITION BY HASH (tenant_id)`; `tenant_id` leads each primary, unique and foreign key, so a
reference across tenants cannot exist. Row-level security compares it with the setting `colonnade.tenant`, which is made
per transaction. Each statement names its tenant as well (`TENANT`), so that the planner prunes to one partition.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import asyncpg
import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    bindparam,
    column,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.engine import Result, ScalarResult
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.schema import SchemaItem
from sqlalchemy.sql.base import Executable

K = TypeVar("K")
V = TypeVar("V")

NAMING = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
PARTITIONS = 16

metadata = MetaData(naming_convention=NAMING)

TENANT = bindparam("tenant", type_=BigInteger())
"""The tenant of the session that runs the statement; the session fills it in."""

_SET_TENANT = "select set_config('colonnade.tenant', $1, true)"


def tenant_table(name: str, *items: SchemaItem, key: Sequence[str]) -> Table:
    """A tenant table with the primary key (`tenant_id`, *key*)."""
    return Table(
        name,
        metadata,
        Column("tenant_id", BigInteger, nullable=False),
        *items,
        PrimaryKeyConstraint("tenant_id", *key),
        postgresql_partition_by="HASH (tenant_id)",
    )


class TenantNotNamed(Exception):
    """A statement on tenant tables does not name its tenant: compare `tenant_id` with `TENANT`."""


class Statement:
    """A SQLAlchemy statement compiled once to the text and argument order that asyncpg takes.

    Executing through SQLAlchemy costs 6 to 13 times the driver's CPU (measured), yet the tables name everything once.

    Raises `TenantNotNamed`.
    """

    def __init__(self, statement: Executable) -> None:
        dialect = asyncpg_dialect()  # type: ignore[no-untyped-call]
        compiled: Any = statement.compile(  # type: ignore[attr-defined]
            dialect=dialect, compile_kwargs={"render_postcompile": True}
        )
        self.text: str = compiled.string
        self.names: tuple[str, ...] = tuple(compiled.positiontup or ())
        self.constants: dict[str, Any] = {name: value for name, value in compiled.params.items() if value is not None}
        if TENANT.key not in self.names:
            raise TenantNotNamed(self.text)

    def arguments(self, values: Mapping[str, Any], tenant_id: int) -> list[Any]:
        """The values in the order of the text's `$1`, `$2`, …, the tenant's where it is named.

        KeyError for one that is missing.
        """
        return [
            tenant_id if name == TENANT.key else values[name] if name in values else self.constants[name]
            for name in self.names
        ]


def json_rows(name: str, *columns: Column[Any]) -> Any:
    """The JSON array bound as *name*, as rows of these columns: any number of rows in one statement's arguments."""
    shape = (column(each.name, each.type) for each in columns)
    return (
        func.jsonb_to_recordset(bindparam(name, type_=JSONB))
        .table_valued(*shape, name=name)
        .render_derived(with_types=True)
    )


def as_json(rows: Any) -> str:
    """*rows* as the argument of `json_rows`."""
    return msgspec.json.encode(rows).decode()


def bytea(value: bytes | None) -> str | None:
    """Bytes as PostgreSQL reads them from JSON."""
    return None if value is None else f"\\x{value.hex()}"


class Kind(Generic[K, V]):
    """Rows of one kind, each under a key, that are read and written many at a time.

    *load* answers for those of the keys that exist. *save* makes the rows of each key say the second of its pair, where
    they said the first.
    """

    def __init__(
        self,
        load: Callable[["TenantConnection", Sequence[K]], Awaitable[Mapping[K, V]]],
        save: Callable[["TenantConnection", Mapping[K, tuple[V | None, V]]], Awaitable[None]],
    ) -> None:
        self.load = load
        self.save = save


class TenantConnection:
    """asyncpg bound to one tenant for one transaction: the twin of `TenantSession` for hot paths.

    What is `put` is written at once; a worker's `Unit` gathers it.
    """

    def __init__(self, connection: asyncpg.Connection, tenant_id: int) -> None:
        self._connection = connection
        self.tenant_id = tenant_id
        self.held: set[object] = set()
        """Locks that the transaction has; to take one again would cost a round trip."""
        self.made = False
        """Whether reading made rows: those of a failed event must go with it."""
        self.deferred = False
        """Whether entitlements are left as they are, because all are to be computed later, once."""

    @classmethod
    async def bind(cls, connection: asyncpg.Connection, tenant_id: int) -> "TenantConnection":
        """Confine *connection* to one tenant until its transaction ends, or rolls back to an earlier savepoint."""
        if not connection.is_in_transaction():
            raise RuntimeError("a tenant is bound for a transaction, and none is open")
        await connection.execute(_SET_TENANT, str(tenant_id))
        return cls(connection, tenant_id)

    @property
    def driver(self) -> asyncpg.Connection:
        """What it is bound to, for statements on tables that are not the tenant's own."""
        return self._connection

    async def fetch(self, statement: Statement, **values: Any) -> list[asyncpg.Record]:
        """All rows of *statement* with `TENANT` filled in."""
        rows: list[asyncpg.Record] = await self._connection.fetch(
            statement.text, *statement.arguments(values, self.tenant_id)
        )
        return rows

    async def fetch_one(self, statement: Statement, **values: Any) -> asyncpg.Record | None:
        """The first row, or None."""
        rows = await self.fetch(statement, **values)
        return rows[0] if rows else None

    async def execute(self, statement: Statement, **values: Any) -> int:
        """Run *statement*; how many rows it touched."""
        tag: str = await self._connection.execute(statement.text, *statement.arguments(values, self.tenant_id))
        return int(tag.rsplit(" ", 1)[-1])

    async def execute_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run *statement* once for each of *rows*, in one round trip."""
        given = [statement.arguments(row, self.tenant_id) for row in rows]
        await self._connection.executemany(statement.text, given)

    async def load(self, kind: Kind[K, V], keys: Iterable[K]) -> dict[K, V | None]:
        """What *kind* has under each of *keys*."""
        wanted = list(dict.fromkeys(keys))
        found = await kind.load(self, wanted) if wanted else {}
        return {key: found.get(key) for key in wanted}

    async def get(self, kind: Kind[K, V], key: K) -> V | None:
        """What *kind* has under *key*."""
        return (await self.load(kind, [key]))[key]

    async def put(self, kind: Kind[K, V], key: K, new: V, old: V | None) -> None:
        """Let *kind* have *new* under *key*, where it had *old*."""
        await kind.save(self, {key: (old, new)})


class TenantSession(AsyncSession):
    """A SQLAlchemy session bound to one tenant for one transaction."""

    tenant_id: int

    async def execute(  # type: ignore[override]
        self, statement: Executable, params: Mapping[str, Any] | None = None, **kw: Any
    ) -> Result[Any]:
        """Run *statement* with `TENANT` filled in. Raises `TenantNotNamed`."""
        if TENANT.key not in statement.compile().params:  # type: ignore[attr-defined]
            raise TenantNotNamed(str(statement))
        return await super().execute(statement, {**(params or {}), TENANT.key: self.tenant_id}, **kw)

    async def scalar(  # type: ignore[override]
        self, statement: Executable, params: Mapping[str, Any] | None = None, **kw: Any
    ) -> Any:
        """The first column of the first row, or None. Raises `TenantNotNamed`."""
        return (await self.execute(statement, params, **kw)).scalar()

    async def scalars(  # type: ignore[override]
        self, statement: Executable, params: Mapping[str, Any] | None = None, **kw: Any
    ) -> ScalarResult[Any]:
        """The first column of each row. Raises `TenantNotNamed`."""
        return (await self.execute(statement, params, **kw)).scalars()

    async def twin(self) -> TenantConnection:
        """The same transaction as a `TenantConnection`, for code shared with the hot paths."""
        raw = await (await self.connection()).get_raw_connection()
        driver: asyncpg.Connection = raw.driver_connection
        return TenantConnection(driver, self.tenant_id)


@asynccontextmanager
async def tenant_session(engine: AsyncEngine, tenant_id: int) -> AsyncIterator[TenantSession]:
    """One transaction as one tenant; it commits at the end of the block, and rolls back on an exception."""
    async with TenantSession(engine, expire_on_commit=False) as session, session.begin():
        session.tenant_id = tenant_id
        await AsyncSession.execute(
            session, text("select set_config('colonnade.tenant', :tenant, true)"), {"tenant": str(tenant_id)}
        )
        yield session


@asynccontextmanager
async def tenant_connection(pool: asyncpg.Pool, tenant_id: int) -> AsyncIterator[TenantConnection]:
    """One transaction on asyncpg as one tenant."""
    async with pool.acquire() as connection, connection.transaction():
        yield await TenantConnection.bind(connection, tenant_id)

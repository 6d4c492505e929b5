"""Migrations: roles first, then Alembic, one process at a time."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command, context
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from colonnade.database import tables
from colonnade.database.locate import open_database
from colonnade.database.roles import LOCK, Duty, ensure_roles
from colonnade.settings import Settings
from colonnade_tenants.tables import metadata as tenant_metadata

METADATA: Any = [tables.metadata, tenant_metadata]


def script_location() -> Path:
    """The migrations: beside the source, or inside the installed package."""
    checkout = Path(__file__).parents[3] / "migrations"
    return checkout if checkout.is_dir() else Path(__file__).parents[1] / "_migrations"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(script_location()))
    config.attributes["connection"] = connection
    return config


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


_COMPARISON: dict[str, Any] = {
    "target_metadata": METADATA,
    "include_name": _named,
    "include_object": _included,
}


def configure(connection: Connection) -> None:
    """Run what Alembic was asked for, as the owner, in one transaction."""
    connection.execute(text(f"SET LOCAL ROLE {Duty.OWNER}"))
    context.configure(connection=connection, **_COMPARISON)
    with context.begin_transaction():
        context.run_migrations()


@asynccontextmanager
async def _admin(url: str) -> AsyncIterator[AsyncConnection]:
    """One transaction of the migrating login, behind a lock, so that two runs at once wait for each other."""

    async def creator() -> asyncpg.Connection:
        return await asyncpg.connect(url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            yield connection
    finally:
        await engine.dispose()


async def connected(work: Callable[[Connection], None]) -> None:
    """Run *work* on the database that the settings name."""
    settings = Settings.load(os.environ)
    with open_database(settings) as urls:
        await ensure(urls.admin, urls.service)
        async with _admin(urls.admin) as connection:
            await connection.run_sync(work)


async def ensure(admin_url: str, service_url: str | None) -> bool:
    """Create missing roles; whether any was. Raises `RolesMissing`."""
    connection = await asyncpg.connect(admin_url)
    try:
        return await ensure_roles(connection, service_url)
    finally:
        await connection.close()


async def upgrade(admin_url: str, service_url: str | None, revision: str = "head") -> None:
    """Roles, then all migrations up to *revision*. Harmless to repeat. Raises `RolesMissing`."""
    await ensure(admin_url, service_url)
    async with _admin(admin_url) as connection:
        await connection.run_sync(lambda sync: command.upgrade(_config(sync), revision))


async def downgrade(admin_url: str, revision: str = "base") -> None:
    """Undo the migrations down to *revision*. The roles stay."""
    async with _admin(admin_url) as connection:
        await connection.run_sync(lambda sync: command.downgrade(_config(sync), revision))


async def drift(admin_url: str) -> list[Any]:
    """How the database differs from the models, as Alembic's operations; empty when it does not."""

    def compare(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection, opts=_COMPARISON), METADATA))

    async with _admin(admin_url) as connection:
        return await connection.run_sync(compare)


async def pending(url: str) -> bool:
    """Whether the database is not at the newest migration."""
    connection = await asyncpg.connect(url)
    try:
        current = await connection.fetch("select version_num from alembic_version")
    except asyncpg.UndefinedTableError:
        return True
    finally:
        await connection.close()
    return {row["version_num"] for row in current} != set(ScriptDirectory.from_config(_config()).get_heads())

"""Migrations: roles first, then Alembic, one process at a time."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
from alembic import command, context
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from colonnade.database.drift import COMPARISON, differences
from colonnade.database.locate import open_database
from colonnade.database.revisions import Schema, Standing, StrangeSchema, known, script_location
from colonnade.database.roles import LOCK, Duty, ensure_roles
from colonnade.settings import Settings


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(script_location()))
    config.attributes["connection"] = connection
    return config


def configure(connection: Connection) -> None:
    """Run what Alembic was asked for, as the owner, in one transaction."""
    connection.execute(text(f"SET LOCAL ROLE {Duty.OWNER}"))
    context.configure(connection=connection, **COMPARISON)
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


async def upgrade(admin_url: str, service_url: str | None, revision: str = "head") -> Schema:
    """Roles, then all migrations up to *revision*; where the database stood before. Harmless to repeat.

    A schema newer than this release is left alone. Raises `RolesMissing`, `StrangeSchema`.
    """
    await ensure(admin_url, service_url)
    async with _admin(admin_url) as connection:
        before = await connection.run_sync(_schema)
        if before.standing is Standing.STRANGE:
            raise StrangeSchema(before.sentence)
        if before.standing is not Standing.NEWER:
            await connection.run_sync(lambda sync: command.upgrade(_config(sync), revision))
        return before


async def downgrade(admin_url: str, revision: str = "base") -> None:
    """Undo the migrations down to *revision*. The roles stay."""
    async with _admin(admin_url) as connection:
        await connection.run_sync(lambda sync: command.downgrade(_config(sync), revision))


class Comparison(NamedTuple):
    """*differences* are looked for where *schema* is current."""

    schema: Schema
    differences: list[str]


async def compare(admin_url: str) -> Comparison:
    """How the database differs from this release: in its migrations, or else in its tables."""

    def compared(connection: Connection) -> Comparison:
        schema = _schema(connection)
        return Comparison(schema, differences(connection) if schema.standing is Standing.CURRENT else [])

    async with _admin(admin_url) as connection:
        return await connection.run_sync(compared)


def _schema(connection: Connection) -> Schema:
    return Schema(frozenset(MigrationContext.configure(connection).get_current_heads()), known())

"""Where a test's database stands."""

import asyncpg

from colonnade.database import revisions


async def schema_at(url: str) -> revisions.Schema:
    """The schema of the database at *url*."""
    connection = await asyncpg.connect(url)
    try:
        return await revisions.schema(connection)
    finally:
        await connection.close()


async def standing_at(url: str) -> revisions.Standing:
    """How that schema stands to this release."""
    return (await schema_at(url)).standing

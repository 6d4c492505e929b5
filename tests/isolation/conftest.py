"""Two tenants with a row in every table."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from colonnade.database.connections import create_pool
from colonnade.database.roles import Duty

from ..conftest import ScratchDatabase
from .rows import Rows, seed

A, B = 7, 11


@pytest.fixture(scope="module")
def rows(shared_database: ScratchDatabase) -> Rows:
    async def run() -> Rows:
        admin = await asyncpg.connect(shared_database.admin_url)
        try:
            return await seed(admin, A, B)
        finally:
            await admin.close()

    return asyncio.run(run())


@pytest.fixture
async def app_pool(shared_database: ScratchDatabase) -> AsyncIterator[asyncpg.Pool]:
    """The product's pool, with one connection: whatever a transaction leaves on it, the next one finds."""
    async with await create_pool(shared_database.service_url, Duty.APP, size=1) as pool:
        yield pool

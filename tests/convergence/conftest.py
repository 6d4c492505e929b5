"""tenants    a crowd of tenants over one database, shared by the tests of a module"""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import ScratchDatabase
from tests.convergence.crowd import Crowd, crowd


@pytest.fixture
async def tenants(shared_database: ScratchDatabase) -> AsyncIterator[Crowd]:
    async with crowd(shared_database) as found:
        yield found

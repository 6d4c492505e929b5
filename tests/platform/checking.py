"""What tests of checks share: a tenant whose customers get seats by override, and where answers came from."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from httpx import Response

from colonnade.checks.checks import Checks
from colonnade.observability import CHECKS
from tests.platform.api import TenantApi

SEATS = {"kind": "quantity", "name": "Seats", "unit": "seats"}
KILL_LISTENERS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and query like 'select clock_timestamp() as at%'
"""
"""Ends the connections by which processes hear of changes."""
BY_HAND = {"feature": "seats", "reason": "Test", "author": "Grace"}


def checks_of(tenant: TenantApi) -> Checks:
    """The checks of the application that answers the tenant's requests."""
    transport: Any = tenant.api.client._transport
    found: Checks = transport.app.state.checks
    return found


async def heard(tenant: TenantApi) -> None:
    """Return once all that was committed before has been heard."""
    hearing = checks_of(tenant).hearing
    before = hearing.as_of
    async with asyncio.timeout(20):
        for _ in range(2):  # the first may have been asked before
            while hearing.as_of == before:
                await asyncio.sleep(0.01)
            before = hearing.as_of


async def give(tenant: TenantApi, seats: int, reference: str = "ada", **fields: Any) -> str:
    """So many seats for the customer; the override's id."""
    body = BY_HAND | {"effect": "set", "value": seats} | fields
    reply = await tenant.call("POST", f"/customers/{reference}/overrides", body)
    assert reply.status_code == 201, reply.text
    found: str = reply.json()["id"]
    return found


async def seats(tenant: TenantApi, reference: str = "ada", key: str | None = None, **headers: str) -> Response:
    return await tenant.call("GET", f"/customers/{reference}/entitlements/seats", key=key, **headers)


def _count(source: str) -> float:
    return CHECKS.labels(source)._value.get()  # type: ignore[no-any-return]


@asynccontextmanager
async def answered(*, memory: int = 0, database: int = 0) -> AsyncIterator[None]:
    """A block in which so many customers are answered from each."""
    before = _count("memory"), _count("database")
    yield
    assert (_count("memory") - before[0], _count("database") - before[1]) == (memory, database)

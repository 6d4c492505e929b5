"""What the checks look at, and what they say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import asyncpg
from msgspec import Struct

from colonnade.database.connections import connect
from colonnade.database.roles import Duty
from colonnade.settings import Settings
from colonnade.stripe_api.client import StripeGateway

MOST = 10
"""Tenants that one check names."""

Severity = Literal["error", "warning"]
Need = Literal["settings", "key", "database", "tables", "stripe", "home"]


class Finding(Struct, frozen=True):
    """Something wrong, and its cure. An `error` breaks something now or will; a `warning` may be meant."""

    check: str
    severity: Severity
    problem: str
    cure: str


class Said(NamedTuple):
    """What a check returns: a finding that does not know its check's name."""

    problem: str
    cure: str
    severity: Severity = "error"


class Place:
    """A deployment: its settings, and what of it can be reached. *has* grows as checks find that it can."""

    def __init__(self, settings: Settings, database_url: str, gateway: StripeGateway) -> None:
        self.settings, self.database_url, self.gateway = settings, database_url, gateway
        self.has: set[Need] = {"settings"}
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection as the platform team's routes have."""
        async with asyncio.timeout(30):
            connection = await connect(self.database_url, Duty.PLATFORM)
            try:
                yield connection
            finally:
                await connection.close()


class Check(NamedTuple):
    """*look* finds what is wrong; it runs where the place has all that it *needs*, and then the place has *gives*."""

    name: str
    about: str
    needs: tuple[Need, ...]
    look: Callable[[Place], Awaitable[list[Said]]]
    gives: Need | None = None

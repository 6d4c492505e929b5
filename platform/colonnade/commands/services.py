"""What commands do with the service's own parts: the same as its routes do, noted in the audit log alike."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from colonnade.commands.common import serving
from colonnade.settings import Settings

if TYPE_CHECKING:
    from colonnade.access.guard import Tenant
    from colonnade.services import Services

T = TypeVar("T")


@asynccontextmanager
async def opened(settings: Settings, database_url: str) -> AsyncIterator["Services"]:
    """The parts, as a request has them."""
    from colonnade.access import audit
    from colonnade.database.connections import Database
    from colonnade.services import Services
    from colonnade.settings import ensure_secret_key
    from colonnade.stripe_api.client import StripeGateway

    gateway = StripeGateway(settings)
    try:
        async with Database(database_url, audit.before_commit) as database:
            gateway.use(database.platform_pool)
            yield Services(settings, ensure_secret_key(settings), database, gateway)
    finally:
        await gateway.close()


def run(work: Callable[["Services"], Awaitable[T]], *needs: str) -> T:
    """What *work* returns; *needs* names settings. Known failures end the program with their sentence."""

    async def inside(settings: Settings, database_url: str) -> T:
        async with opened(settings, database_url) as services:
            return await work(services)

    with serving(*needs) as (settings, database_url):
        return asyncio.run(inside(settings, database_url))
    raise AssertionError("`serving` swallows no error")


def acting(
    services: "Services", action: str, target: str, tenant: "Tenant | None" = None
) -> AbstractAsyncContextManager[None]:
    """The audit log is told of what is done within: the command line did *action* (`key.created`) on *target*."""
    from colonnade.access import audit
    from colonnade.access.principals import COMMAND_LINE

    owner = None if tenant is None else tenant.id
    return audit.acting(services.database, COMMAND_LINE, action, target, tenant_id=owner)

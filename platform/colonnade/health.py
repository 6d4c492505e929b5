"""Whether the process lives, whether it can serve, and its counters."""

import asyncio
from contextlib import suppress
from typing import Literal

import asyncpg
from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from colonnade.database.migrate import pending
from colonnade.observability import OLDEST, WAITING
from colonnade.services import Services
from colonnade.webhooks.backlog import Backlog, measure

_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Health(Struct):
    """*checks* names each thing looked at and what was found, `ok` or what is wrong."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]


@get("/health/live", summary="The process answers", security=[{}])
async def live() -> Health:
    return Health("ok", {})


@get("/health/ready", summary="The process can serve", security=[{}])
async def ready(services: NamedDependency[Services]) -> Response[Health]:
    checks = {"database": "ok", "migrations": "ok"}
    try:
        async with asyncio.timeout(3):
            if await pending(services.database.url):
                checks["migrations"] = "pending: run `colonnade migrate`"
            elif (limit := services.settings.ready_backlog_seconds) is not None:
                checks["inbox"] = _found(await measure(services.database.platform_pool), limit)
    except _LOST:
        checks = {"database": "cannot be reached"}
    well = all(found == "ok" for found in checks.values())
    return Response(Health("ok" if well else "unavailable", checks), status_code=200 if well else 503)


def _found(backlog: Backlog, limit: int) -> str:
    if backlog.oldest_seconds <= limit:
        return "ok"
    return f"an event has been due for {backlog.oldest_seconds:.0f} s: is a worker running?"


@get("/metrics", summary="Counters for Prometheus", include_in_schema=False)
async def metrics(services: NamedDependency[Services]) -> Response[bytes]:
    with suppress(*_LOST):  # the other metrics are wanted then above all
        async with asyncio.timeout(3):
            backlog = await measure(services.database.platform_pool)
        OLDEST.set(backlog.oldest_seconds)
        for state in ("pending", "quarantined", "dead"):
            WAITING.labels(state).set(getattr(backlog, state))
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES = (live, ready, metrics)

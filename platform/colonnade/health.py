"""Whether the process lives, whether it can serve, and its counters."""

import asyncio
from typing import Literal

import asyncpg
from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from colonnade.database.migrate import pending
from colonnade.services import Services


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
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        checks = {"database": "cannot be reached"}
    well = all(found == "ok" for found in checks.values())
    return Response(Health("ok" if well else "unavailable", checks), status_code=200 if well else 503)


@get("/metrics", summary="Counters for Prometheus", include_in_schema=False)
async def metrics() -> Response[bytes]:
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES = (live, ready, metrics)

"""Whether the process lives, whether it can serve, and its counters."""

import asyncio
from contextlib import suppress
from typing import Literal

from litestar import Response, get, head
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from colonnade.accounts.readiness import counted
from colonnade.database.connections import LOST
from colonnade.database.revisions import Standing, schema
from colonnade.observability import OLDEST, READINESS, WAITING, WATERMARK
from colonnade.services import Services
from colonnade.stopping import STOPPING
from colonnade.webhooks.backlog import Backlog, measure
from colonnade.webhooks.sweeps import Behind, behind

Status = Literal["ok", "degraded", "unavailable"]


class Health(Struct):
    """*checks* names each thing looked at and what was found, `ok` or what is wrong.

    *status* `degraded`: it serves, but for what needs Stripe.
    """

    status: Status
    checks: dict[str, str]


@get("/health/live", operation_id="checkLive", summary="The process answers", tags=["Operations"], security=[{}])
async def live() -> Health:
    return Health("ok", {})


_NOT_READY = ResponseSpec(Health, description="It cannot; *checks* say why.", generate_examples=False)


@get(
    "/health/ready",
    operation_id="checkReady",
    summary="The process can serve",
    tags=["Operations"],
    security=[{}],
    responses={503: _NOT_READY},
)
async def ready(services: NamedDependency[Services], state: State) -> Response[Health]:
    found = await _looked(services, state)
    return Response(found, status_code=_code(found))


# Load balancers that ask by HEAD want the status alone.
@head("/health/live", include_in_schema=False)
async def live_head() -> None:
    return None


@head("/health/ready", include_in_schema=False)
async def ready_head(services: NamedDependency[Services], state: State) -> Response[None]:
    return Response(None, status_code=_code(await _looked(services, state)))


def _code(found: Health) -> int:
    return 503 if found.status == "unavailable" else 200


async def _looked(services: Services, state: State) -> Health:
    if state.get(STOPPING):
        return Health("unavailable", {"process": "stopping"})
    checks = {"database": "ok", "migrations": "ok"}
    try:
        async with asyncio.timeout(3):
            checks["migrations"] = _MIGRATIONS[(await schema(services.database.platform_pool)).standing]
            if checks["migrations"] in _WELL:
                checks |= await _wanted(services)
    except LOST:
        checks = {"database": "cannot be reached"}
    well = _WELL.issuperset(checks.values())
    stripe = _stripe(services.stripe.refusing)
    status: Status = "unavailable" if not well else "ok" if stripe == "ok" else "degraded"
    return Health(status, checks | {"stripe": stripe})


_MIGRATIONS = {
    Standing.CURRENT: "ok",
    Standing.PENDING: "pending: run `colonnade migrate`",
    Standing.NEWER: "newer",
    Standing.STRANGE: "strange: `colonnade doctor` says more",
}
_WELL = frozenset({"ok", "newer"})
"""`newer`: the next release is migrated first and rolled out then, or it is rolled back; all would leave at once."""


def _stripe(refusing: float | None) -> str:
    """Never a reason to leave the load balancer: checks and deliveries need no Stripe, and every process would leave
    at once, so that Stripe's outage would be ours."""
    if refusing is None:
        return "ok"
    again = f"it is asked again in {refusing:.0f} s" if refusing else "the next call tries again"
    return f"does not answer; {again}"


async def _wanted(services: Services) -> dict[str, str]:
    """What is only looked at where it is set."""
    pool, settings = services.database.platform_pool, services.settings
    checks: dict[str, str] = {}
    if settings.ready_backlog_seconds is not None:
        checks["inbox"] = _found(await measure(pool), settings.ready_backlog_seconds)
    if settings.ready_watermark_seconds is not None:
        checks["watermark"] = _complete(await behind(pool), settings.ready_watermark_seconds)
    return checks


def _complete(accounts: list[Behind], limit: int) -> str:
    """Of the platform's own account: one tenant's that cannot be read must not take the service down."""
    own = next((each for each in accounts if not each.account), None)
    if own is None:
        return "no sweep has looked yet: run `colonnade sweep`"
    return "ok" if own.seconds <= limit else f"events are complete up to {own.complete_until.isoformat()} only"


def _found(backlog: Backlog, limit: int) -> str:
    if backlog.oldest_seconds <= limit:
        return "ok"
    return f"an event has been due for {backlog.oldest_seconds:.0f} s: is a worker running?"


@get("/metrics", summary="Counters for Prometheus", include_in_schema=False)
async def metrics(services: NamedDependency[Services]) -> Response[bytes]:
    with suppress(*LOST):  # the other metrics are wanted then above all
        async with asyncio.timeout(3):
            backlog = await measure(services.database.platform_pool)
            watermarks = await behind(services.database.platform_pool)
            tenants = await counted(services)
        OLDEST.set(backlog.oldest_seconds)
        for state in ("pending", "retrying", "quarantined", "dead"):
            WAITING.labels(state).set(getattr(backlog, state))
        for word, number in tenants.items():
            READINESS.labels(word).set(number)
        WATERMARK.clear()
        for each in watermarks:
            WATERMARK.labels(each.account or "platform").set(each.complete_until.timestamp())
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES = (live, live_head, ready, ready_head, metrics)

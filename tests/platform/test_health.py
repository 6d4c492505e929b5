"""Readiness: what takes a process out of the load balancer, and what it only tells of."""

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from colonnade.errors import StripeUnavailable
from colonnade.stripe_api import breaker, failures
from tests.conftest import ScratchDatabase, run_sql
from tests.platform.api import Api, Sandbox, running_api
from tests.platform.deliveries import PLATFORM, event, headers_for
from tests.platform.test_stripe_budget import gateway_of


async def ready(api: Api) -> tuple[int, str, dict[str, str]]:
    reply = await api.client.get("/health/ready")
    found: dict[str, Any] = reply.json()
    asked = await api.client.head("/health/ready")
    assert (asked.status_code, asked.content) == (reply.status_code, b""), "a balancer that asks by HEAD reads the same"
    return reply.status_code, found["status"], found["checks"]


async def test_with_stripe_away_the_process_is_degraded_and_stays_in_the_balancer(
    shared_database: ScratchDatabase, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(failures, "LONGEST_PAUSE", 0.01)
    secrets = {"stripe_platform_webhook_secrets": (PLATFORM,)}
    async with running_api(shared_database, sandbox, **secrets) as api:
        well = {"database": "ok", "migrations": "ok", "stripe": "ok"}
        assert await ready(api) == (200, "ok", well)
        shop = await api.tenant()
        await shop.customer()
        await sandbox.fail(next=1000, status=503)
        stripe = gateway_of(api).platform
        for _ in range(2):
            with pytest.raises(StripeUnavailable):
                await stripe.get("/v1/customers")
        status, word, checks = await ready(api)
        assert (status, word, checks["database"]) == (200, "degraded", "ok")
        assert checks["stripe"].startswith("does not answer; it is asked again in ")
        await delivers_and_checks(api, shop.id, shop.key)
        api_breaker = gateway_of(api)._sender._breaker
        api_breaker._until = 0  # as when the pause is over
        assert (await ready(api))[2]["stripe"] == "does not answer; the next call tries again"
        assert api_breaker.state is breaker.State.OPEN, "to be asked about it is no call"
        await sandbox.fail()
        await stripe.get("/v1/customers")
        assert await ready(api) == (200, "ok", well)


async def delivers_and_checks(api: Api, tenant: str, key: str) -> None:
    """What needs no Stripe goes on."""
    body = json.dumps(event()).encode()
    assert (await api.client.post("/webhooks/stripe/platform", content=body, headers=headers_for(body))).is_success
    assert (await api.call("GET", f"/v1/tenants/{tenant}/customers/ada/entitlements", key=key)).status_code == 200


async def test_without_its_migrations_or_its_database_the_process_is_unavailable(
    database: ScratchDatabase, sandbox: Sandbox, server: str
) -> None:
    async with running_api(database, sandbox) as api:
        await asyncio.to_thread(run_sql, database.admin_url, "update alembic_version set version_num = '0016'")
        status, word, checks = await ready(api)
        assert (status, word) == (503, "unavailable")
        assert checks["migrations"] == "pending: run `colonnade migrate`"
        for found, answer in (("0000", (503, "unavailable")), ("9999", (200, "ok"))):
            stamp = f"update alembic_version set version_num = '{found}'"
            await asyncio.to_thread(run_sql, database.admin_url, stamp)
            status, word, checks = await ready(api)
            assert (status, word) == answer
            assert checks["migrations"].partition(":")[0] == ("newer" if found == "9999" else "strange")
        own = urlsplit(database.admin_url).path.strip("/")
        await asyncio.to_thread(
            run_sql,
            server,
            f"alter database {own} allow_connections false",
            f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{own}'",
        )
        assert await ready(api) == (503, "unavailable", {"database": "cannot be reached", "stripe": "ok"})
        assert (await api.client.get("/health/live")).status_code == 200
        alive = await api.client.head("/health/live")
        assert (alive.status_code, alive.content) == (200, b"")

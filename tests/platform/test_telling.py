"""The platform team is told of each change of a tenant's readiness, signed, in order, and again until it is taken."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from colonnade.accounts.telling import Teller, tell_periodically
from colonnade.database.connections import connect
from colonnade.database.roles import Duty
from colonnade.notifications.secrets import new_secret
from colonnade.notifications.sender import Sender
from colonnade.settings import Settings
from tests.conftest import ScratchDatabase
from tests.platform.api import Api
from tests.platform.consumer import Consumer, consuming

OLD, NEW = new_secret(), new_secret()
CHANGE = """
insert into readiness_changes (tenant_id, public_id, account, previous, state, reason, cause, at, recorded_at)
select id, $2, 'acct_1', 'ready', $3, 'Overdue.', 'evt_1', now(), now() - $4::text::interval
from tenants where public_id = $1
"""


@pytest.fixture
async def team() -> AsyncIterator[Consumer]:
    async with consuming() as consumer:
        consumer.secrets = [OLD]
        yield consumer


@pytest.fixture
async def connection(shared_database: ScratchDatabase) -> AsyncIterator[asyncpg.Connection]:
    opened = await connect(shared_database.service_url, Duty.PLATFORM)
    await opened.execute("update readiness_changes set told_at = now()")
    yield opened
    await opened.close()


async def rounds(connection: asyncpg.Connection, team: Consumer, *, loopback: bool = True) -> list[tuple[str, str]]:
    """What came in as many rounds as have something to do."""
    team.received.clear()
    async with Sender(loopback=loopback) as sender:
        while await Teller(sender, team.url, (NEW, OLD)).round(connection):
            pass
    return [(body["data"]["tenant"], body["data"]["state"]) for body in team.received]


async def test_what_the_history_says_is_told_once_and_signed_by_each_secret(
    api: Api, connection: asyncpg.Connection, team: Consumer
) -> None:
    fern = await api.tenant()
    assert await rounds(connection, team) == [(fern.id, "onboarding")]
    (body,), (line, *_) = team.received, (await api.call("GET", "/v1/readiness-changes")).json()["data"]
    assert (body["type"], body["id"], body["timestamp"]) == ("readiness.changed", line["id"], line["recorded_at"])
    assert body["data"] == line
    assert len(team.requests[0].headers["webhook-signature"].split(" ")) == 2
    assert await rounds(connection, team) == []


async def test_what_is_not_taken_is_tried_again_before_what_came_later(
    api: Api, connection: asyncpg.Connection, team: Consumer
) -> None:
    fern, kiln = await api.tenant(), await api.tenant()
    await connection.execute("update readiness_changes set told_at = now()")
    for number, (tenant, state) in enumerate(((fern, "restricted"), (fern, "ready"), (kiln, "rejected"))):
        await connection.execute(CHANGE, tenant.id, f"rdy_order{number}", state, "1 minute")
    team.answer = lambda body: 200 if body["data"]["tenant"] == kiln.id else 503
    assert sorted(await rounds(connection, team)) == sorted([(fern.id, "restricted"), (kiln.id, "rejected")])
    team.answer = lambda _: 200
    assert await rounds(connection, team) == [], "it is left alone for a while"
    await connection.execute("update readiness_changes set tell_at = now() where told_at is null")
    assert await rounds(connection, team) == [(fern.id, "restricted"), (fern.id, "ready")]


async def test_what_is_too_old_or_was_tried_for_days_is_not_told(
    api: Api, connection: asyncpg.Connection, team: Consumer
) -> None:
    fern = await api.tenant()
    await connection.execute("update readiness_changes set told_at = now()")
    await connection.execute(CHANGE, fern.id, "rdy_old", "rejected", "4 days")
    await connection.execute(CHANGE, fern.id, "rdy_last", "restricted", "2 days")
    await connection.execute("update readiness_changes set tries = 14 where public_id = 'rdy_last'")
    await connection.execute(CHANGE, fern.id, "rdy_next", "ready", "1 day")
    team.answer = lambda body: 200 if body["id"] == "rdy_next" else 503
    assert await rounds(connection, team) == [(fern.id, "restricted"), (fern.id, "ready")]
    (left,) = await connection.fetch(
        "select count(*) from readiness_changes where told_at is null and tell_at < 'infinity'"
    )
    assert left["count"] == 0


async def test_this_machine_is_told_only_where_that_is_allowed(
    api: Api, connection: asyncpg.Connection, team: Consumer
) -> None:
    await api.tenant()
    assert await rounds(connection, team, loopback=False) == []
    assert team.requests == []


async def test_the_worker_tells_by_its_settings_and_nobody_where_there_are_none(
    api: Api, connection: asyncpg.Connection, team: Consumer, shared_database: ScratchDatabase
) -> None:
    fern = await api.tenant()
    await tell_periodically(Settings(), shared_database.service_url)
    settings = Settings(
        platform_notification_url=team.url, platform_notification_secrets=(OLD,), notification_loopback=True
    )
    task = asyncio.create_task(tell_periodically(settings, shared_database.service_url))
    try:
        received: list[dict[str, Any]] = await team.until(1)
    finally:
        task.cancel()
    assert [body["data"]["tenant"] for body in received] == [fern.id]

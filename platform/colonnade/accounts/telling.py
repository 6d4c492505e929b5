"""The platform team is told of changes of tenants' readiness, at an endpoint of its own.

Signed and tried again as tenants' notifications are: by Standard Webhooks, with the same pauses over three days. A
claim commits before anything is sent; a worker that dies leaves it claimed for `LEASE`, then it is sent again, under
the same id. A tenant's changes go one after the other.
"""

import asyncio
from datetime import datetime, timedelta

import asyncpg
import msgspec
import structlog

from colonnade.accounts.readiness import Change
from colonnade.database.connections import LOST, connect
from colonnade.database.roles import Duty
from colonnade.notifications.health import GIVE_UP, pause
from colonnade.notifications.sender import Sender
from colonnade.settings import Settings
from colonnade_tenants.notifications.queue import LEASE, Claimed

log = structlog.get_logger()

POLL = 2.0
"""Seconds between looks."""
BATCH = 20

# What is older than tries last is not told: it is there from before there was an endpoint.
_FORGO = (
    "update readiness_changes set tell_at = 'infinity' where told_at is null and recorded_at < now() - $1::interval"
)
_CLAIM = f"""
update readiness_changes c set tries = tries + 1, tell_at = now() + interval '{LEASE} seconds'
from tenants t where t.id = c.tenant_id and c.id in (
    select id from readiness_changes due
    where told_at is null and tell_at < 'infinity' and tell_at <= now() and not exists (
        select from readiness_changes before where before.tenant_id = due.tenant_id and before.id < due.id
            and before.told_at is null and before.tell_at < 'infinity')
    order by id limit {BATCH} for update skip locked)
returning c.id as number, c.tries, c.public_id as id, t.public_id as tenant, c.account, c.previous, c.state, c.reason,
    c.cause, c.at, c.recorded_at
"""  # noqa: S608 - only our own numbers are put in
_TOLD = "update readiness_changes set told_at = now() where id = $1"
_LATER = """
update readiness_changes set tell_at = coalesce(now() + $3::interval, 'infinity')
where id = $1 and tries = $2 and told_at is null
"""


class ReadinessChanged(msgspec.Struct, frozen=True, tag_field="type", tag="readiness.changed"):
    """What is sent. *id* is also the header `webhook-id`: the same at every try."""

    id: str
    timestamp: datetime
    data: Change


class Teller:
    """Tells the endpoint at *url*, signed with each of *secrets*. Any number may run at once."""

    def __init__(self, sender: Sender, url: str, secrets: tuple[str, ...]) -> None:
        self._sender, self._url, self._secrets = sender, url, secrets

    async def round(self, connection: asyncpg.Connection) -> int:
        """Tell what is due, a batch of it; how many tries that were."""
        await connection.execute(_FORGO, GIVE_UP)
        rows = await connection.fetch(_CLAIM)
        tried = [self._tell(row["number"], row["tries"], msgspec.convert(dict(row), Change)) for row in rows]
        for number, tries, wait, error in await asyncio.gather(*tried):
            if error is None:
                await connection.execute(_TOLD, number)
            else:
                log.warning("readiness not told", error=error)
                await connection.execute(_LATER, number, tries, None if wait is None else timedelta(seconds=wait))
        return len(rows)

    async def _tell(self, number: int, tries: int, change: Change) -> tuple[int, int, float | None, str | None]:
        body = ReadinessChanged(change.id, change.recorded_at, change)
        payload = msgspec.json.encode(body).decode()
        claimed = Claimed(number, change.id, "readiness.changed", payload, number, tries)
        attempt = await self._sender.attempt(self._url, self._secrets, claimed)
        return number, tries, pause(tries, attempt.retry_after), attempt.error


async def tell_periodically(settings: Settings, database_url: str) -> None:
    """Tell until cancelled; the database may come and go. Nothing is done where no endpoint is set."""
    if settings.platform_notification_url is None:
        return
    async with Sender(loopback=settings.notification_loopback, connections=BATCH) as sender:
        teller = Teller(sender, settings.platform_notification_url, settings.platform_notification_secrets)
        while True:
            try:
                connection = await connect(database_url, Duty.PLATFORM)
                try:
                    while True:
                        if not await teller.round(connection):
                            await asyncio.sleep(POLL)
                finally:
                    await connection.close(timeout=2)
            except LOST as error:
                log.warning("changes of readiness wait", error=type(error).__name__)
            await asyncio.sleep(POLL)

"""Operators' own handlers: entry points of the group `colonnade.handlers`, each named by the event type it handles.

One runs after the core handler, as the event's tenant, in a savepoint of its own. What it raises undoes its own effects
and nothing else; the call is noted and tried again by itself, while later events of the object go on. So an extension
may see events of one object out of order, and has to compare their `created`, as Stripe's own advice is.
"""

import asyncio
import inspect
from collections.abc import Collection, Sequence
from datetime import timedelta
from importlib.metadata import entry_points
from typing import NamedTuple

import asyncpg
import structlog

from colonnade.errors import DomainError, Unavailable
from colonnade.settings import SettingsError
from colonnade.stripe_api.client import StripeGateway
from colonnade.webhooks.delivery import Delivery, read
from colonnade.webhooks.event_stripe import EventStripe
from colonnade.webhooks.inbox import Claimed
from colonnade.webhooks.retries import pause, sentence
from colonnade.webhooks.thin import ThinReader
from colonnade_tenants.handlers import Handler
from colonnade_tenants.unit import CannotUndo, Unit, Units

log = structlog.get_logger()

GROUP = "colonnade.handlers"
BATCH = 20
ATTEMPTS = 12
"""Tries of a failing call: with the pauses, some two hours. An outage of Stripe's does not end them."""
TIMEOUT = 30
"""Seconds for one call."""

_NOTE = """
insert into extension_calls (inbox_id, tenant_id, extension, attempts, reason, not_before)
values ($1, $2, $3, 1, $4, clock_timestamp() + $5)
on conflict (inbox_id, extension) do update set
    state = 'pending', attempts = 1, reason = excluded.reason, not_before = excluded.not_before, done_at = null
"""
_CLAIM = f"""
select c.id, c.extension, c.tenant_id, c.attempts, {", ".join(f"i.{name}" for name in Claimed.__struct_fields__)}
from extension_calls c join inbox i on i.id = c.inbox_id
where c.state = 'pending' and c.not_before <= now()
order by c.not_before limit {BATCH} for update of c skip locked
"""  # noqa: S608 - only our own names are put in
_SETTLE = """
update extension_calls set state = $2, attempts = attempts + 1, reason = $3, not_before = clock_timestamp() + $4,
    done_at = case when $2 = 'pending' then null else clock_timestamp() end
where id = $1
"""


class ExtensionBroken(SettingsError):
    """An entry point cannot be loaded, or is no handler."""


class Extension(NamedTuple):
    """A handler that an installed package adds; *name* is its entry point's `package.module:function`."""

    name: str
    event_type: str
    handler: Handler


def installed() -> list[Extension]:
    """What the installed packages add. Raises `ExtensionBroken`: better no worker than one that leaves them out."""
    found = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            handler = entry.load()
        except Exception as error:
            raise ExtensionBroken([f"The handler {entry.value} of {entry.name} cannot be loaded: {error}"]) from error
        if not inspect.iscoroutinefunction(handler):
            raise ExtensionBroken([f"The handler {entry.value} of {entry.name} is not an async function"])
        found.append(Extension(entry.value, entry.name, handler))
    return found


class Extensions:
    """Calls the extensions of an event, and those again that failed."""

    def __init__(self, gateway: StripeGateway, extensions: Sequence[Extension] = ()) -> None:
        self._gateway = gateway
        self._thin = ThinReader(gateway, {extension.event_type for extension in extensions})
        self._by_type: dict[str, list[Extension]] = {}
        for extension in extensions:
            self._by_type.setdefault(extension.event_type, []).append(extension)

    def __contains__(self, event_type: str) -> bool:
        return event_type in self._by_type

    @property
    def types(self) -> Collection[str]:
        """The event types that some extension handles."""
        return self._by_type.keys()

    async def run(self, units: Units, tenant: Unit, delivery: Delivery) -> None:
        """Call each extension of the event, whose core handler has succeeded in this unit."""
        for extension in self._by_type.get(delivery.event.type, ()):
            error = await self._call(units, tenant, delivery, extension)
            if error is not None:
                values = delivery.row.id, tenant.tenant_id, extension.name, sentence(error), timedelta(seconds=pause(1))
                await units.connection.execute(_NOTE, *values)

    async def retry(self, pool: asyncpg.Pool) -> int:
        """Call those again that failed and are due; how many calls that were."""
        if not self._by_type:
            return 0
        async with pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(_CLAIM)
            units = Units(connection)
            for call, name, tenant_id, attempts, *columns in rows:
                extension = self._named(name)
                if extension is None:
                    await connection.execute(_SETTLE, call, "dead", "It is not installed any more.", timedelta())
                    continue
                error = await self._again(units, Claimed(*columns), tenant_id, extension)
                given_up = attempts + 1 >= ATTEMPTS and not isinstance(error, Unavailable)
                state = "done" if error is None else "dead" if given_up else "pending"
                reason = None if error is None else sentence(error)
                await connection.execute(_SETTLE, call, state, reason, timedelta(seconds=pause(attempts + 1)))
        return len(rows)

    def _named(self, name: str) -> Extension | None:
        return next((each for found in self._by_type.values() for each in found if each.name == name), None)

    async def _again(self, units: Units, row: Claimed, tenant_id: int, extension: Extension) -> Exception | None:
        try:
            delivery = await self._thin.read(read(row))
        except DomainError as error:
            return error
        async with units.tenant(tenant_id) as tenant:
            return await self._call(units, tenant, delivery, extension)

    async def _call(self, units: Units, tenant: Unit, delivery: Delivery, extension: Extension) -> Exception | None:
        """What it raised, its effects undone; None: nothing."""
        row = delivery.row
        try:
            async with asyncio.timeout(TIMEOUT):
                stripe = EventStripe(self._gateway, tenant, row)
                await tenant.event(lambda: extension.handler(delivery.event, tenant, stripe), apart=True)
        except CannotUndo:
            raise
        except Exception as error:
            if units.connection.is_closed():  # the database's doing, not the extension's
                raise
            log.warning("extension failed", event_id=row.event_id, extension=extension.name, error=sentence(error))
            return error
        return None

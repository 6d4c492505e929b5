"""Who writes a portal configuration now: one writer at a time, without a connection held while Stripe is asked.

A lease is a row with an end, so that a process that is killed holds up nobody for longer than `LENGTH`. Each step of a
write renews it in the step's own transaction; one that has lost it writes nothing more here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import delete, func, or_, update
from sqlalchemy.dialects.postgresql import insert

from colonnade.database.connections import Database
from colonnade.database.tables import portal_work as table
from colonnade.errors import Unavailable
from colonnade_tenants.ids import new_id
from colonnade_tenants.partition import TENANT, TenantSession

LENGTH = timedelta(minutes=3)
"""Longer than all calls of one write take at most: a read and a write at Stripe, thirty seconds each, and the reads of
its catalogue at once."""
PATIENCE = 20.0
"""Seconds that a request waits for another writer."""
_PAUSE = 0.05


class Work(Struct, frozen=True):
    """What is known of the writing besides: see the columns of `portal_work`."""

    event: str | None
    event_at: datetime | None
    failures: int
    creating: int | None


_WORK = [table.c[name] for name in Work.__struct_fields__]


class Lease:
    """The right to write the tenant's configuration *name*."""

    def __init__(self, name: str, work: Work) -> None:
        self.name, self.work = name, work
        self._token = new_id("lease")

    async def take(self, session: TenantSession) -> bool:
        """Whether it is ours now."""
        until = func.clock_timestamp() + LENGTH
        new = insert(table).values(tenant_id=TENANT, name=self.name, lease=self._token, lease_until=until)
        free = or_(table.c.lease_until.is_(None), table.c.lease_until < func.clock_timestamp())
        taken = new.on_conflict_do_update(
            index_elements=["tenant_id", "name"], set_={"lease": self._token, "lease_until": until}, where=free
        )
        row = (await session.execute(taken.returning(*_WORK))).one_or_none()
        if row is not None:
            self.work = Work(**row._mapping)
        return row is not None

    async def keep(self, session: TenantSession, **fields: Any) -> None:
        """Renew it, and note *fields* of the work. Raises `Unavailable` if somebody else has it."""
        until = func.clock_timestamp() + LENGTH
        if await self._change(session, lease_until=until, **fields) == 0:
            raise Unavailable("It took too long, and another change of this configuration went ahead; try again.", 1)

    async def release(self, session: TenantSession) -> None:
        """Let the next one write. Of a configuration that was not made nothing stays."""
        empty = (table.c.due_at.is_(None), table.c.creating.is_(None), table.c.objects == [])
        gone = await session.execute(delete(table).where(self._mine(), *empty).returning(table.c.name))
        if not gone.all():
            await self._change(session, lease=None, lease_until=None)

    async def _change(self, session: TenantSession, **fields: Any) -> int:
        changed = await session.execute(update(table).where(self._mine()).values(**fields).returning(table.c.name))
        return len(changed.all())

    def _mine(self) -> Any:
        return (table.c.tenant_id == TENANT) & (table.c.name == self.name) & (table.c.lease == self._token)


@asynccontextmanager
async def held(database: Database, tenant_id: int, name: str, patience: float = PATIENCE) -> AsyncIterator[Lease]:
    """A block in which nobody else writes the configuration. Raises `Unavailable` after *patience* seconds."""
    lease = Lease(name, Work(None, None, 0, None))
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        async with database.tenant(tenant_id, final=False) as session:
            if await lease.take(session):
                break
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable("Another change of this configuration is under way; try again.", 2)
        await asyncio.sleep(_PAUSE)
    try:
        yield lease
    finally:
        async with database.tenant(tenant_id, final=False) as session:
            await lease.release(session)

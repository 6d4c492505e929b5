"""The rows of portal configurations."""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from colonnade.database.tables import portal_configurations as table
from colonnade.errors import NotFound
from colonnade.portals.drifts import Drift
from colonnade.portals.settings import PortalSettings
from colonnade_tenants.partition import TENANT, TenantSession


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """*stripe_configuration* is null until Stripe has it; *applied_version* is the version that Stripe has.

    *problem*: why Stripe does not take the version. *drift*: what was found to differ at Stripe, last.
    """

    name: str
    is_default: bool
    settings: PortalSettings
    active: bool
    content_hash: bytes
    version: int
    stripe_configuration: str | None
    applied_version: int | None
    problem: str | None
    drift: Drift | None
    created_at: datetime
    updated_at: datetime

    @property
    def applied(self) -> bool:
        """Whether Stripe has this version."""
        return self.applied_version == self.version


_COLUMNS = [table.c[name] for name in Row.__struct_fields__]
_OWN = table.c.tenant_id == TENANT


def _row(found: Any) -> Row:
    fields = dict(found._mapping)
    fields["settings"] = msgspec.convert(fields["settings"], PortalSettings)
    fields["drift"] = fields["drift"] and msgspec.convert(fields["drift"], Drift)
    return Row(**fields)


async def lock(session: TenantSession, what: str) -> None:
    """Be the only transaction that has *what* of this tenant, until it ends."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"colonnade {what}", TENANT))))


async def find(session: TenantSession, name: str) -> Row | None:
    """The configuration named *name*."""
    found = (await session.execute(select(*_COLUMNS).where(_OWN, table.c.name == name))).one_or_none()
    return found and _row(found)


async def default(session: TenantSession) -> Row | None:
    """The tenant's default; None while it has no configuration."""
    found = (await session.execute(select(*_COLUMNS).where(_OWN, table.c.is_default))).one_or_none()
    return found and _row(found)


async def get(session: TenantSession, name: str, param: str = "name") -> Row:
    """The configuration named *name*. Raises `NotFound`."""
    if row := await find(session, name):
        return row
    raise NotFound(f"There is no portal configuration {name!r}.", param)


async def page(session: TenantSession, after: str | None, limit: int) -> list[Row]:
    """At most *limit* configurations by name, from the one that follows the name *after*."""
    found = select(*_COLUMNS).where(_OWN, table.c.name > (after or "")).order_by(table.c.name).limit(limit)
    return [_row(row) for row in await session.execute(found)]


async def save(session: TenantSession, name: str, **fields: Any) -> Row:
    """Create or change the row. One that becomes the default takes that from the one that was."""
    if fields["is_default"]:
        others = update(table).where(_OWN, table.c.is_default, table.c.name != name)
        await session.execute(others.values(is_default=False, updated_at=func.now()))
    fields["settings"] = msgspec.to_builtins(fields["settings"])
    new = insert(table).values(tenant_id=TENANT, name=name, **fields)
    saved = new.on_conflict_do_update(index_elements=["tenant_id", "name"], set_={"updated_at": func.now()} | fields)
    return _row((await session.execute(saved.returning(*_COLUMNS))).one())


async def note(session: TenantSession, name: str, **fields: Any) -> Row:
    """Change what is known of Stripe's side: *stripe_configuration*, *applied_version*, *problem*, *drift*."""
    if "drift" in fields:
        fields["drift"] = fields["drift"] and msgspec.to_builtins(fields["drift"])
    changed = update(table).where(_OWN, table.c.name == name).values(**fields).returning(*_COLUMNS)
    return _row((await session.execute(changed)).one())


async def remove(session: TenantSession, name: str) -> None:
    """Forget a configuration that Stripe never had."""
    await session.execute(delete(table).where(_OWN, table.c.name == name))

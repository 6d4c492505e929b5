"""The versions of portal configurations: what was wanted when, and who wanted it. A version is never changed."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from colonnade.database.tables import portal_configuration_versions as table
from colonnade.errors import NotFound
from colonnade.portals.content import Content
from colonnade.portals.settings import PortalSettings
from colonnade_tenants.partition import TENANT, TenantSession

Change = Literal["put", "file", "rollback", "adopt", "revert", "repair", "deactivate", "branding", "upgrade"]
"""What made a version. *file*: `colonnade portals apply`; *branding*: a legal link changed; *repair*: an archived price
was taken out; *upgrade*: another version of Colonnade reads the same settings differently."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """*content* has what the settings referred to then; null: it was not kept yet. *author*: see `Drift`."""

    version: int
    settings: PortalSettings
    active: bool
    content: Content | None
    content_hash: bytes
    change: Change
    author: str | None
    created_at: datetime


_COLUMNS = [table.c[name] for name in Version.__struct_fields__]


def _own(name: str) -> Any:
    return (table.c.tenant_id == TENANT) & (table.c.name == name)


async def add(
    session: TenantSession, name: str, version: int, settings: PortalSettings, content: Content, **by: str | None
) -> None:
    """Note a new version; *by*: its `change` and `author`."""
    await session.execute(
        insert(table).values(
            tenant_id=TENANT,
            name=name,
            version=version,
            settings=msgspec.to_builtins(settings),
            active=content.active,
            content=msgspec.to_builtins(content),
            content_hash=content.digest(),
            created_at=func.clock_timestamp(),
            **by,
        )
    )


async def remove(session: TenantSession, name: str, version: int) -> None:
    """Take back a version that Stripe refused at once."""
    await session.execute(delete(table).where(_own(name), table.c.version == version))


async def get(session: TenantSession, name: str, version: int) -> Version:
    """Raises `NotFound`."""
    found = (await session.execute(select(*_COLUMNS).where(_own(name), table.c.version == version))).one_or_none()
    if found is None:
        raise NotFound(f"There is no version {version} of {name!r}.", "version")
    return _version(found)


async def page(session: TenantSession, name: str, before: int | None, limit: int) -> list[Version]:
    """At most *limit* versions, the newest first, from the one before the version *before*."""
    found = select(*_COLUMNS).where(_own(name))
    if before is not None:
        found = found.where(table.c.version < before)
    return [_version(row) for row in await session.execute(found.order_by(table.c.version.desc()).limit(limit))]


def _version(row: Any) -> Version:
    fields = dict(row._mapping)
    fields["settings"] = msgspec.convert(fields["settings"], PortalSettings)
    fields["content"] = fields["content"] and msgspec.convert(fields["content"], Content)
    return Version(**fields)

"""The rows of branding and its pictures."""

from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from colonnade.database.tables import branding as table
from colonnade.database.tables import branding_images as images
from colonnade.portals.branding.images import BrandImage, Kind
from colonnade.portals.branding.settings import State
from colonnade_tenants.columns import Timestamp
from colonnade_tenants.partition import TENANT, TenantSession


class Row(Struct, frozen=True, kw_only=True):
    """*try_at* is when a worker asks Stripe again, *claimed_until* until when a process has the right to ask now."""

    settings: dict[str, Any]
    version: int
    state: State
    problem: str | None
    refused: list[str]
    dashboard: str | None
    failures: int
    claimed_until: datetime | None
    updated_at: datetime


class ImageRow(Struct, frozen=True, kw_only=True):
    """A picture, its bytes aside."""

    kind: Kind
    digest: bytes
    width: int
    height: int
    size: int
    stripe_file: str | None
    updated_at: datetime


_COLUMNS = [table.c[name] for name in Row.__struct_fields__]
_SIZE = func.length(images.c.content).label("size")
_IMAGE = [_SIZE if name == "size" else images.c[name] for name in ImageRow.__struct_fields__]
_OWN, _OWN_IMAGES = table.c.tenant_id == TENANT, images.c.tenant_id == TENANT


async def find(session: TenantSession) -> Row | None:
    """What the tenant asked for last."""
    found = (await session.execute(select(*_COLUMNS).where(_OWN))).mappings().one_or_none()
    return Row(**found) if found else None


async def found_images(session: TenantSession) -> dict[Kind, ImageRow]:
    """The tenant's pictures, by kind."""
    rows = await session.execute(select(*_IMAGE).where(_OWN_IMAGES))
    return {row["kind"]: ImageRow(**row) for row in rows.mappings()}


async def contents(session: TenantSession, *, missing: bool = False) -> dict[Kind, bytes]:
    """The pictures themselves; *missing*: those that the account does not have yet."""
    found = select(images.c.kind, images.c.content).where(_OWN_IMAGES)
    if missing:
        found = found.where(images.c.stripe_file.is_(None))
    return {row.kind: row.content for row in await session.execute(found)}


async def ask_for(session: TenantSession, settings: dict[str, Any]) -> None:
    """Let *settings* be what is asked for, as a new version that Stripe does not have."""
    new = insert(table).values(tenant_id=TENANT, settings=settings, state="pending", try_at=_GRACE)
    asked = {
        "settings": settings,
        "version": table.c.version + 1,
        "state": "pending",
        "problem": None,
        "refused": [],
        "dashboard": None,
        "failures": 0,
        "try_at": _GRACE,
        "updated_at": func.now(),
    }
    await session.execute(new.on_conflict_do_update(index_elements=["tenant_id"], set_=asked))


# The process that wrote it asks Stripe itself; a worker looks after it where that process is gone.
_GRACE = func.now(type_=Timestamp) + timedelta(seconds=10)


async def save_image(session: TenantSession, kind: Kind, image: BrandImage) -> None:
    """Keep *image*, which the account does not have yet."""
    fields = {"content": image.content, "digest": image.digest, "width": image.width, "height": image.height}
    fields |= {"stripe_file": None, "updated_at": func.now()}
    new = insert(images).values(tenant_id=TENANT, kind=kind, **fields)
    await session.execute(new.on_conflict_do_update(index_elements=["tenant_id", "kind"], set_=fields))


async def forget_image(session: TenantSession, kind: Kind) -> None:
    """Keep none of this *kind*."""
    await session.execute(delete(images).where(_OWN_IMAGES, images.c.kind == kind))


async def forget_files(session: TenantSession) -> None:
    """Take it that the account has none of the pictures."""
    await session.execute(update(images).where(_OWN_IMAGES).values(stripe_file=None))


async def claim(session: TenantSession, seconds: float) -> Row | None:
    """The pending branding, to be sent by nobody else for *seconds*; None: nothing is to do, or another is at it."""
    free = or_(table.c.claimed_until.is_(None), table.c.claimed_until < func.clock_timestamp())
    until = func.clock_timestamp(type_=Timestamp) + timedelta(seconds=seconds)
    taken = update(table).where(_OWN, table.c.state == "pending", free).values(claimed_until=until)
    found = (await session.execute(taken.returning(*_COLUMNS))).mappings().one_or_none()
    return Row(**found) if found else None


async def settle(session: TenantSession, claimed: Row, **outcome: Any) -> bool:
    """Note what came of *claimed*; False where more was asked for meanwhile, which is then to be sent."""
    mine = [_OWN, table.c.claimed_until == claimed.claimed_until]
    values = outcome | {"claimed_until": None}
    done = update(table).where(*mine, table.c.version == claimed.version).values(**values).returning(table.c.version)
    if (await session.execute(done)).one_or_none() is not None:
        return True
    released = update(table).where(*mine).values(claimed_until=None).returning(table.c.version)
    return (await session.execute(released)).one_or_none() is None


async def note_files(session: TenantSession, files: dict[Kind, tuple[bytes, str]]) -> None:
    """The account has these pictures, by digest and file; one that was replaced meanwhile is left alone."""
    for kind, (digest, file) in files.items():
        same = (_OWN_IMAGES, images.c.kind == kind, images.c.digest == digest)
        await session.execute(update(images).where(*same).values(stripe_file=file))

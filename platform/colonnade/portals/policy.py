"""What a tenant wants done about edits of its portal configurations that others make at Stripe."""

from datetime import datetime
from typing import Literal

from msgspec import Struct
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from colonnade.database.tables import portal_configurations, portal_work
from colonnade.database.tables import portal_policies as table
from colonnade.etags import etag, require_match
from colonnade.portals.store import lock
from colonnade_tenants.partition import TENANT, TenantSession

Drift = Literal["report", "revert"]


class PutPortalPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """*drift*: `report` shows an edit at Stripe until somebody adopts or reverts it; `revert` undoes it at once."""

    drift: Drift


class PortalPolicy(Struct, frozen=True):
    """The policy; *author* and *updated_at* are null while nobody has put one."""

    drift: Drift = "report"
    author: str | None = None
    updated_at: datetime | None = None


async def get(session: TenantSession) -> PortalPolicy:
    """The tenant's policy."""
    columns = (table.c.drift, table.c.author, table.c.updated_at)
    row = (await session.execute(select(*columns).where(table.c.tenant_id == TENANT))).one_or_none()
    return PortalPolicy(*row) if row else PortalPolicy()


def _tagged(policy: PortalPolicy) -> object:
    return policy.drift, policy.updated_at


def tag(policy: PortalPolicy) -> str:
    """Its `ETag`: the same for all, whether or not they are told who its author is."""
    return etag(_tagged(policy))


async def put(session: TenantSession, drift: Drift, author: str | None, if_match: str | None = None) -> PortalPolicy:
    """Set the policy; the same again changes nothing. What drifted before, the worker looks at now.

    Raises `PreconditionFailed`.
    """
    await lock(session, "portal policy")
    if if_match is not None:
        require_match(if_match, _tagged(await get(session)))
    fields = {"drift": drift, "author": author, "updated_at": func.now()}
    new = insert(table).values(tenant_id=TENANT, **fields)
    changed = new.on_conflict_do_update(
        index_elements=["tenant_id"], set_=fields, where=table.c.drift != new.excluded.drift
    )
    await session.execute(changed)
    if drift == "revert":
        await _look_now(session)
    return await get(session)


async def _look_now(session: TenantSession) -> None:
    one = portal_configurations.c
    drifted = select(one.name).where(one.tenant_id == TENANT, one.drift["state"].astext == "open")
    due = update(portal_work).where(portal_work.c.tenant_id == TENANT, portal_work.c.name.in_(drifted))
    await session.execute(due.values(due_at=func.least(portal_work.c.due_at, func.clock_timestamp())))

"""A tenant's state follows the mirror of its account, in the transaction of the events that changed that.

The mirror has sorted out which event is the newest, so that their order does not matter here. An account that the
tenant has left says nothing any more.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import String, bindparam, func, select, text, update

from colonnade.accounts.states import STEPS, State
from colonnade.database.tables import tenants
from colonnade_tenants import accounts
from colonnade_tenants.events import Event
from colonnade_tenants.partition import TENANT, Statement, TenantConnection
from colonnade_tenants.readiness import ReadinessState

TYPES = ("account.", "capability.", "person.")
"""Events about the account itself begin so."""
ABLE: tuple[ReadinessState, ...] = ("ready", "restricted_soon")
"""The account can take payments."""

_TENANT = select(tenants.c.state, tenants.c.stripe_account, tenants.c.live_at, tenants.c.disconnected_at).where(
    tenants.c.id == TENANT
)
_READ, _LOCK = Statement(_TENANT), Statement(_TENANT.with_for_update(key_share=True))


def _statement(step: str) -> Statement:
    changes: dict[str, Any] = {name: text(value) for name, value in STEPS[step].changes.items()}
    by, reason = bindparam("by", type_=String), bindparam("reason", type_=String)
    return Statement(
        update(tenants)
        .where(tenants.c.id == TENANT)
        .values(changes | {"state_by": by, "state_reason": reason, "updated_at": func.now()})
    )


_STATEMENTS = {name: _statement(name) for name, step in STEPS.items() if "stripe" in step.by}


async def follow(tenant: TenantConnection, events: Sequence[Event]) -> None:
    """Bring the tenant's state in line after *events*, if any was about the account."""
    if telling := [event for event in events if event.type.startswith(TYPES)]:
        await bring_in_line(tenant, telling[-1].id)


async def bring_in_line(tenant: TenantConnection, by: str | None, reason: str | None = None) -> None:
    """The same, *by* whatever changed the mirror; *reason*: where the platform team gave one."""
    for step in await _due(tenant, _LOCK):
        await tenant.execute(_STATEMENTS[step], by=by, reason=reason)


async def due(tenant: TenantConnection) -> list[str]:
    """The steps that would bring it in line, without a lock: whether there is anything to do."""
    return await _due(tenant, _READ)


async def _due(tenant: TenantConnection, statement: Statement) -> list[str]:
    row = await tenant.fetch_one(statement)
    if row is None or row["stripe_account"] is None:
        return []
    account = await accounts.read(tenant, row["stripe_account"])
    if account is None:
        return []
    gone = account.access.disconnected_at is not None
    able = account.readiness.state in ABLE
    steps = {
        "disconnect": gone and row["disconnected_at"] is None,
        "reconnect": not gone and row["disconnected_at"] is not None,
        "go_live": able and not gone and row["live_at"] is None,
    }
    return [step for step, wanted in steps.items() if wanted and State(row["state"]) in STEPS[step].at_rest]

"""A tenant's steps by the platform team, what they led to, and its history."""

from datetime import datetime
from typing import Annotated, Any, Literal

import asyncpg
from msgspec import Meta, Struct, convert

from colonnade.access import audit
from colonnade.access.actors import Told
from colonnade.access.guard import Principal, Tenant
from colonnade.accounts.states import FROZEN, REMOVED, RETURN, STEPS, WORDS, State, literal
from colonnade.errors import Conflict, Forbidden, NotFound
from colonnade.services import Services
from colonnade_tenants import locks, values
from colonnade_tenants.partition import TenantConnection

Checks = Literal["keep", "deny"]


class Reason(Struct, forbid_unknown_fields=True):
    """Why the platform team takes the step; the tenant reads it too."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class ClosedChecks(Struct, forbid_unknown_fields=True):
    """What entitlement checks say while the tenant is closed: `keep`, what they would say anyway; `deny`, nothing."""

    closed_checks: Checks


class Lifecycle(Struct):
    """A tenant's state, who brought it about and why, and what may be done now.

    *held_events* wait for its return; *coming_back*: they are being applied, or entitlements are computed from them.
    *steps* are the platform team's.
    """

    state: State
    since: datetime
    by: str | None
    reason: str | None
    closed_checks: Checks
    coming_back: bool
    held_events: int
    steps: list[str]


class Passage(Struct):
    """One change of state. *by*: a key (`key_…`), a person, an event (`evt_…`), or `colonnade`."""

    id: int
    previous: State
    state: State
    by: str | None
    reason: str | None
    at: datetime


# What was applied shows in entitlements once the computation at the end is done.
_READ = f"""
select state, state_since as since, state_by as by, state_reason as reason, closed_checks, stripe_account,
    t.coming_back or t.state not in {literal(FROZEN)} and exists (
        select from recomputations where tenant_id = t.id and state = 'running' and cause = $2) as coming_back,
    (select count(*) from inbox where tenant_id = t.id and state = 'held') as held_events
from tenants t where id = $1
"""  # noqa: S608 - only our own names are put in
_HISTORY = """
select id, previous, state, by, reason, at from tenant_states
where tenant_id = $1 and ($2::bigint is null or id < $2) order by id desc limit $3
"""


async def read(services: Services, tenant: Tenant, by: Principal) -> Lifecycle:
    """The state as it is now, for *by*. Raises `NotFound`."""
    async with services.database.platform_pool.acquire() as connection:
        row = await connection.fetchrow(_READ, tenant.id, RETURN)
    if row is None:
        raise NotFound("This tenant is gone.", "tenant")
    steps = [name for name, step in STEPS.items() if "platform" in step.by and row["state"] in step.at_rest]
    if row["stripe_account"] is None and "reconnect" in steps:
        steps.remove("reconnect")  # it never had an account
    tell = await Told(services.database, by.tenant_id).of([row["by"]])
    return convert({**row, "by": tell(row["by"]), "steps": steps}, Lifecycle)


async def history(services: Services, tenant: Tenant, by: Principal, before: int | None, limit: int) -> list[Passage]:
    """At most *limit* changes of state, the newest first, from the one before *before*; for *by*."""
    async with services.database.platform_pool.acquire() as connection:
        rows = await connection.fetch(_HISTORY, tenant.id, before, limit)
    tell = await Told(services.database, by.tenant_id).of(row["by"] for row in rows)
    return [convert({**row, "by": tell(row["by"])}, Passage) for row in rows]


async def take(services: Services, tenant: Tenant, step: str, by: Principal, reason: str) -> Lifecycle:
    """Let the platform team take *step*. Raises `Forbidden`, `Invalid`, and `Conflict` where the state forbids it."""
    check_platform(by)
    values.text(reason, "reason", 500)
    async with services.database.platform_connection() as connection:
        await alone(connection, tenant.id)
        await make(connection, tenant.id, step, by.id, reason)
        await note(connection, tenant)
    return await read(services, tenant, by)


async def set_checks(services: Services, tenant: Tenant, checks: Checks, by: Principal) -> Lifecycle:
    """What checks say while it is closed. Raises `Forbidden`."""
    check_platform(by)
    async with services.database.platform_connection() as connection:
        before = await connection.fetchval("select closed_checks from tenants where id = $1 for update", tenant.id)
        await connection.execute(
            "update tenants set closed_checks = $2, updated_at = now() where id = $1 and removal is null",
            tenant.id,
            checks,
        )
        audit.note(before={"closed_checks": before}, after={"closed_checks": checks})
    return await read(services, tenant, by)


def check_platform(by: Principal) -> None:
    """Raises `Forbidden` for a tenant's key."""
    if by.tenant_id is not None:
        raise Forbidden("Only the platform team may do this.")


async def alone(connection: asyncpg.Connection, tenant_id: int) -> TenantConnection:
    """Be the only transaction that does anything with the tenant's events, until it ends; bound to it."""
    tenant = await TenantConnection.bind(connection, tenant_id)
    await locks.change_catalogue(tenant)
    return tenant


async def make(connection: asyncpg.Connection, tenant_id: int, step: str, by: str, reason: str | None) -> None:
    """Take *step* in the transaction at hand. Raises `NotFound`, `Conflict`.

    Who comes back to its suspension is suspended for the reason of that, which the database takes up again; *reason* is
    in the history and the audit log.
    """
    changes: dict[str, Any] = dict(STEPS[step].changes)
    assignments = ", ".join(f"{name} = {value}" for name, value in changes.items())
    made = await connection.fetchval(
        f"update tenants set {assignments}, state_by = $2, state_reason = $3, updated_at = now() "  # noqa: S608
        "where id = $1 and state = any ($4) returning id",
        tenant_id,
        by,
        reason,
        sorted(STEPS[step].at_rest),
    )
    if made is None:
        state = await connection.fetchval("select state from tenants where id = $1", tenant_id)
        if state is None:
            raise NotFound("This tenant is gone.", "tenant")
        raise _refusal(State(state), step)
    if reason is not None:
        audit.note(after={"reason": reason})


def check_step(tenant: Tenant, step: str) -> None:
    """Refuse, before anything is looked at, what `make` would refuse. Raises `Conflict`."""
    if tenant.state not in STEPS[step].at_rest:
        raise _refusal(tenant.state, step)


async def note(connection: asyncpg.Connection, tenant: Tenant) -> None:
    """Say in the audit log what became of the tenant's state."""
    names = ("state", "state_reason", "stripe_account")
    row = await connection.fetchrow("select state, state_reason, stripe_account from tenants where id = $1", tenant.id)
    audit.note(before=audit.named(tenant, *names), after=audit.named(dict(row), *names))


def _refusal(state: State, step: str) -> Conflict:
    said = WORDS.get(state, f"is {state}")
    allowed = ", ".join(sorted(STEPS[step].at_rest))
    end = "nothing can be done with it" if state in REMOVED else f"`{step}` is for one that is {allowed}"
    return Conflict(f"This tenant {said}; {end}.", "tenant")

"""What tenants' accounts may do and what they wait for: now, as it was, and those of all tenants as a worklist."""

from datetime import datetime
from typing import Any, NamedTuple, get_args

import asyncpg
import msgspec
from msgspec import Struct

from colonnade.access.guard import COLUMNS, Tenant
from colonnade.accounts.looking import Whose, look
from colonnade.accounts.states import PUT_AWAY, State, literal
from colonnade.errors import Closed
from colonnade.services import Services
from colonnade.stripe_api.charges import account_of
from colonnade_tenants.readiness import DISCONNECTED, UNCONNECTED, ReadinessState, Requirement, assess, needed
from colonnade_tenants.readiness import Readiness as Assessed
from colonnade_tenants.readiness_words import Party


class Readiness(Struct, kw_only=True):
    """*state* in one word, *reason* why it is not `ready`, Stripe's own switches, and what is wanted, urgent first.

    *waits_for*: who has to act now. *deadline*: the earliest of the requirements'. *needs*: the capabilities that the
    tenant's charge type cannot do without, with their status.
    """

    state: ReadinessState
    reason: str | None
    waits_for: list[Party]
    deadline: datetime | None
    charges_enabled: bool
    payouts_enabled: bool
    details_submitted: bool
    disabled_reason: str | None
    needs: dict[str, str]
    requirements: list[Requirement]
    events_complete_until: datetime | None = None
    """No event of the tenant's is missing up to then, by Stripe's clock; null: no sweep has looked yet."""


class InBrief(Struct, frozen=True):
    """A tenant's readiness as it was last heard of; *since*: when the state came about, by Stripe's clock."""

    state: ReadinessState
    reason: str | None
    waits_for: list[Party]
    deadline: datetime | None
    since: datetime


class Change(Struct, frozen=True):
    """A change of a tenant's readiness. *cause*: the event (`evt_…`), or `read` where a look at Stripe found it.

    *at*: Stripe's time of the cause; *recorded_at*: ours, when it was known here. *previous*: null for the first.
    """

    id: str
    tenant: str
    account: str
    previous: ReadinessState | None
    state: ReadinessState
    reason: str | None
    cause: str
    at: datetime
    recorded_at: datetime


# The accounts that a tenant's events come from: its own and, unless it charges directly, the platform's.
_COMPLETE = """
select min(complete_until) from sweeps
where account = any ($1) having count(*) = cardinality($1)
"""
_BRIEF = """
case when r.tenant_id is not null then json_build_object(
    'state', r.state, 'reason', r.reason, 'waits_for', r.waits_for, 'deadline', r.deadline, 'since', r.since
) end::text as readiness
"""
_PAGE = f"""
select {COLUMNS}, {_BRIEF} from tenants t left join tenant_readiness r on r.tenant_id = t.id
where t.state <> 'deleted' and ($3::text[] is null or t.state = any ($3)) and ($1::text is null or t.public_id < $1)
order by t.public_id desc limit $2
"""  # noqa: S608 - only our own column names are put in
# The worklist begins at its index: few tenants are in trouble. Nobody has to act for one that was put away.
_IN_STATE = f"""
select {COLUMNS}, {_BRIEF} from tenant_readiness r join tenants t on t.id = r.tenant_id
where r.state = any ($4) and ($1::text is null or t.public_id < $1)
    and case when $3::text[] is null then t.state not in {literal(PUT_AWAY)} else t.state = any ($3) end
order by t.public_id desc limit $2
"""  # noqa: S608
_COUNTED = f"""
select r.state, count(*) from tenant_readiness r join tenants t on t.id = r.tenant_id
where t.state not in {literal(PUT_AWAY)} group by r.state
"""  # noqa: S608
_AWAIT = """
insert into tenant_readiness (tenant_id, state, reason, waits_for, since) values ($1, $2, $3, $4, now())
on conflict do nothing
"""
_HISTORY = """
select c.public_id as id, t.public_id as tenant, c.account, c.previous, c.state, c.reason, c.cause, c.at, c.recorded_at
from readiness_changes c join tenants t on t.id = c.tenant_id
where ($1::bigint is null or c.tenant_id = $1) and ($2::text is null or c.public_id < $2)
order by c.public_id desc limit $3
"""


async def await_account(connection: asyncpg.Connection, tenant: Tenant) -> None:
    """Note that the business is to connect an account: until then nothing else says anything of it."""
    await connection.execute(_AWAIT, tenant.id, UNCONNECTED.state, UNCONNECTED.reason, UNCONNECTED.waits_for)


async def readiness(services: Services, tenant: Tenant) -> Readiness:
    """The account's state as Stripe has it now, which is kept. Raises Stripe's errors."""
    if tenant.stripe_account is None:
        return _shown({}, tenant, UNCONNECTED)
    whose = Whose(tenant.id, account_of(tenant))
    try:
        seen = await look(services.stripe, services.database.platform_pool, whose)
    except Closed:
        if tenant.state is not State.DISCONNECTED:
            raise
        seen = None
    if seen is None:
        return _shown({}, tenant, DISCONNECTED)
    found = _shown(seen.account, tenant, assess(seen.account, tenant.charge_type))
    found.events_complete_until = await _complete_until(services, tenant)
    return found


async def _complete_until(services: Services, tenant: Tenant) -> datetime | None:
    sources = [account_of(tenant), *([] if tenant.charge_type == "direct" else [""])]
    async with services.database.platform_pool.acquire() as connection:
        at: datetime | None = await connection.fetchval(_COMPLETE, sources)
    return at


def _shown(account: dict[str, Any], tenant: Tenant, found: Assessed) -> Readiness:
    capabilities = account.get("capabilities") or {}
    return Readiness(
        state=found.state,
        reason=found.reason,
        waits_for=found.waits_for,
        deadline=found.deadline,
        charges_enabled=bool(account.get("charges_enabled")),
        payouts_enabled=bool(account.get("payouts_enabled")),
        details_submitted=bool(account.get("details_submitted")),
        disabled_reason=(account.get("requirements") or {}).get("disabled_reason"),
        needs={name: capabilities.get(name, "unrequested") for name in needed(tenant.charge_type)},
        requirements=found.requirements,
    )


class Wanted(NamedTuple):
    """Which tenants are listed; None: all. By readiness alone those put away are left out, for whom nobody acts."""

    readiness: list[ReadinessState] | None = None
    states: list[State] | None = None


async def page(
    services: Services, wanted: Wanted, after: str | None, limit: int
) -> list[tuple[Tenant, InBrief | None]]:
    """Tenants, newest first; one more than *limit* where there is a next page."""
    async with services.database.platform_pool.acquire() as connection:
        if wanted.readiness is None:
            rows = await connection.fetch(_PAGE, after, limit + 1, wanted.states)
        else:
            rows = await connection.fetch(_IN_STATE, after, limit + 1, wanted.states, wanted.readiness)
    return [(msgspec.convert(dict(row), Tenant), _in_brief(row["readiness"])) for row in rows]


def _in_brief(row: str | None) -> InBrief | None:
    return None if row is None else msgspec.json.decode(row, type=InBrief)


async def counted(services: Services) -> dict[ReadinessState, int]:
    """How many tenants are in each state; those put away, or whose account was never heard of, are in none."""
    async with services.database.platform_pool.acquire() as connection:
        rows = await connection.fetch(_COUNTED)
    return dict.fromkeys(get_args(ReadinessState), 0) | {row["state"]: row["count"] for row in rows}


async def history(services: Services, tenant: Tenant | None, after: str | None, limit: int) -> list[Change]:
    """Changes of one tenant's readiness, or of all tenants', newest first; one more than *limit* where more follow."""
    async with services.database.platform_pool.acquire() as connection:
        rows = await connection.fetch(_HISTORY, tenant and tenant.id, after, limit + 1)
    return [msgspec.convert(dict(row), Change) for row in rows]

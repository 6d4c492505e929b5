"""How far each account has been swept: the table `sweeps`."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from colonnade.accounts.states import FROZEN, State, literal, sentence


class Account(msgspec.Struct, frozen=True):
    """An account whose events are swept; *id* is "" for the platform's own, which is no tenant's."""

    id: str
    tenant_id: int | None


class Cursor(msgspec.Struct, frozen=True):
    """*swept_until*: where the next sweep begins; *complete_until*: nothing is missing up to then. Stripe's time."""

    swept_until: datetime
    complete_until: datetime


class SweepView(msgspec.Struct, frozen=True):
    """How far an account has been swept, by Stripe's clock; *account* and *tenant* are null for the platform's own.

    *complete_until*: no event of a handled type is missing up to then. It stays behind *swept_until* where Stripe
    listed no more, until a resync. *finished_at* (our clock) and *problem* are of the last sweep, *found* is of all.
    A frozen tenant's account is not swept; *problem* is then why.
    """

    account: str | None
    tenant: str | None
    complete_until: datetime
    swept_until: datetime
    finished_at: datetime | None
    found: int
    problem: str | None


class Behind(msgspec.Struct, frozen=True):
    """An account ("": the platform's own) and its watermark; *seconds* is how long ago that is."""

    account: str
    complete_until: datetime
    seconds: float


FURTHEST = 20
"""Accounts that are told of by a metric each: those that are the furthest behind."""

_ACCOUNTS = f"""
select a.account, a.tenant_id from (
    select '' as account, null::bigint as tenant_id
    union all
    select stripe_account, id from tenants where stripe_account is not null and state not in {literal(FROZEN)}
) a left join sweeps s using (account)
where s.finished_at is null or s.finished_at <= now() - $1::interval
order by s.finished_at nulls first, a.account
"""  # noqa: S608 - only our own words are put in
_BEGIN = """
insert into sweeps (account, tenant_id, swept_until, complete_until) values ($1, $2, $3, $3)
on conflict (account) do update
    set complete_until = case when $4 then sweeps.swept_until else sweeps.complete_until end
returning swept_until, complete_until
"""
_MOVE = """
update sweeps set swept_until = greatest(swept_until, $2),
    complete_until = case when $3 then greatest(complete_until, $2) else complete_until end
where account = $1 returning swept_until, complete_until
"""

_PAGE = """
select nullif(account, '') as account, t.public_id as tenant, complete_until, swept_until, finished_at, found, problem,
    t.state
from sweeps s left join tenants t on t.id = s.tenant_id
where account >= $1 and account is distinct from $2 order by s.account limit $3
"""
_BEHIND = f"""
(select account, complete_until, extract(epoch from now() - complete_until)::float8 from sweeps where account = '')
union all
(select account, complete_until, extract(epoch from now() - complete_until)::float8
from sweeps join tenants t on t.id = tenant_id
where t.state not in {literal(FROZEN)} order by complete_until, account limit $1)
"""  # noqa: S608


async def page(pool: asyncpg.Pool, after: str | None, limit: int) -> list[SweepView]:
    """Accounts by id, the platform's own ("") first; from the one that follows *after*."""
    return [_shown(dict(row)) for row in await pool.fetch(_PAGE, after or "", after, limit)]


def _shown(row: dict[str, Any]) -> SweepView:
    state = row.pop("state")
    return SweepView(**row | ({"problem": sentence(State(state))} if state in FROZEN else {}))


async def behind(pool: asyncpg.Pool) -> list[Behind]:
    """The platform's own account, and the connected ones of tenants not frozen that are the furthest behind."""
    return [Behind(*row) for row in await pool.fetch(_BEHIND, FURTHEST)]


async def accounts(pool: asyncpg.Pool, every: timedelta = timedelta()) -> list[Account]:
    """Those not swept for *every*, the longest first. Of a frozen tenant's account Stripe is asked nothing."""
    return [Account(*row) for row in await pool.fetch(_ACCOUNTS, every)]


async def begin(pool: asyncpg.Pool, account: Account, oldest: datetime, *, resynced: bool) -> Cursor:
    """The account's cursor; a new one begins with the *oldest* that Stripe lists. After a resync a gap is closed."""
    row = await pool.fetchrow(_BEGIN, account.id, account.tenant_id, oldest, resynced)
    return Cursor(*row)


async def move(pool: asyncpg.Pool, account: Account, to: datetime, *, complete: bool) -> Cursor:
    """Note that everything up to *to* is stored; the watermark moves too where *complete*."""
    return Cursor(*await pool.fetchrow(_MOVE, account.id, to, complete))


async def finish(pool: asyncpg.Pool, account: Account, found: int) -> None:
    """Note that the sweep came to its end."""
    await pool.execute(
        "update sweeps set finished_at = clock_timestamp(), problem = null, found = found + $2 where account = $1",
        account.id,
        found,
    )


async def fail(pool: asyncpg.Pool, account: Account, problem: str) -> None:
    """Note why the sweep did not come to its end; it is tried again at the next interval."""
    await pool.execute(
        "update sweeps set finished_at = clock_timestamp(), problem = $2 where account = $1", account.id, problem
    )

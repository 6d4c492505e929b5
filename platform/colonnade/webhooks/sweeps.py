"""How far each account has been swept: the table `sweeps`."""

from datetime import datetime, timedelta

import asyncpg
import msgspec

from colonnade_tenants.accounts import read
from colonnade_tenants.partition import tenant_connection


class Account(msgspec.Struct, frozen=True):
    """An account whose events are swept; *id* is "" for the platform's own, which is no tenant's."""

    id: str
    tenant_id: int | None


class Cursor(msgspec.Struct, frozen=True):
    """*swept_until*: where the next sweep begins; *complete_until*: nothing is missing up to then. Stripe's time."""

    swept_until: datetime
    complete_until: datetime


_ACCOUNTS = """
select a.account, a.tenant_id from (
    select '' as account, null::bigint as tenant_id
    union all
    select stripe_account, id from tenants where stripe_account is not null
) a left join sweeps s using (account)
where s.finished_at is null or s.finished_at <= now() - $1::interval
order by s.finished_at nulls first, a.account
"""
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


async def accounts(pool: asyncpg.Pool, every: timedelta = timedelta()) -> list[Account]:
    """Those not swept for *every*, the longest first; accounts that have disconnected cannot be read any more."""
    rows = [Account(row["account"], row["tenant_id"]) for row in await pool.fetch(_ACCOUNTS, every)]
    return [account for account in rows if not await _disconnected(pool, account)]


async def _disconnected(pool: asyncpg.Pool, account: Account) -> bool:
    if account.tenant_id is None:
        return False
    async with tenant_connection(pool, account.tenant_id) as tenant:
        known = await read(tenant, account.id)
    return known is not None and known.access.disconnected_at is not None


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

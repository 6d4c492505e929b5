"""One row that says how ready the tenant is, for the platform team's worklist, and the history of its changes.

Both are platform tables. The caller holds the lock on the account's row, so that what is remembered is in the order of
what was decided.
"""

from datetime import datetime

from sqlalchemy import text

from colonnade_tenants.ids import new_id
from colonnade_tenants.partition import Statement, TenantConnection
from colonnade_tenants.readiness import Readiness, ReadinessState

# Only of the tenant's present account: another that it once had says nothing about it any more.
_REMEMBER = Statement(
    text("""
with mine as (
    select id from tenants where id = :tenant and stripe_account = cast(:account as text)
), known as (
    select state from tenant_readiness where tenant_id = :tenant
), kept as (
    insert into tenant_readiness as r (tenant_id, state, reason, waits_for, deadline, since)
    select id, cast(:state as text), cast(:reason as text), cast(:waits_for as text[]),
           cast(:deadline as timestamptz), coalesce(cast(:at as timestamptz), now())
    from mine
    on conflict (tenant_id) do update set
        state = excluded.state, reason = excluded.reason, waits_for = excluded.waits_for,
        deadline = excluded.deadline, since = case when r.state = excluded.state then r.since else excluded.since end
    where (r.state, r.reason, r.waits_for, r.deadline)
        is distinct from (excluded.state, excluded.reason, excluded.waits_for, excluded.deadline)
), noted as (
    insert into readiness_changes (tenant_id, public_id, account, previous, state, reason, cause, at)
    select mine.id, :id, :account, known.state, :state, :reason, :cause, coalesce(cast(:at as timestamptz), now())
    from mine left join known on true where known.state is distinct from :state
)
select state from known
""")
)


async def remember(
    tenant: TenantConnection, account: str, readiness: Readiness, cause: str, at: datetime | None
) -> ReadinessState | None:
    """Keep what *account* amounts to, and a change of its state with its *cause* at that time (None: now).

    The tenant's state before; None: this is the first.
    """
    before = await tenant.fetch_one(
        _REMEMBER,
        id=new_id("rdy"),
        account=account,
        state=readiness.state,
        reason=readiness.reason,
        waits_for=readiness.waits_for,
        deadline=readiness.deadline,
        cause=cause,
        at=at,
    )
    return None if before is None else before["state"]

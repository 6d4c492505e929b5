"""Deliveries that are due, and what becomes of them. The caller holds the endpoint's lock (its row is the platform's).

Deliveries of one subject go to an endpoint one after the other: what waits behind another is put off until that one is
delivered or given up. A claim commits before anything is sent; a worker that dies leaves it claimed until `LEASE` has
passed, then it is sent again, under the same id.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import text

from colonnade_tenants.partition import Statement, TenantConnection

LEASE = 60
"""Seconds; more than one try may take."""
WINDOW = 100
"""Deliveries in which a claim looks for such that are the first of their subject."""
EXCERPT = 1000
"""Characters of a reply that are kept."""


class Claimed(msgspec.Struct, frozen=True):
    """A delivery to be tried now, for the *attempts*-th time; *id* is the notification's internal one."""

    id: int
    public_id: str
    type: str
    payload: str
    subject: int
    attempts: int


class Attempt(msgspec.Struct, frozen=True):
    """What came of one try: *status* is the reply's, None if none came; *error* is None if it succeeded."""

    at: datetime
    milliseconds: int
    status: int | None = None
    error: str | None = None
    excerpt: str | None = None
    retry_after: int | None = None


_CLAIM = Statement(
    text(f"""
with due as materialized (
    select notification, subject, position from notification_deliveries
    where tenant_id = :tenant and endpoint = :endpoint and state in ('pending', 'sending') and due_at <= now()
    order by due_at, position limit {WINDOW}
), placed as materialized (
    select due.*, (
        select due_at from notification_deliveries before
        where before.tenant_id = :tenant and before.endpoint = :endpoint and before.subject = due.subject
            and before.state in ('pending', 'sending') and before.position < due.position
        order by before.position limit 1
    ) as behind from due
), put_off as (
    update notification_deliveries d set due_at = placed.behind from placed
    where d.tenant_id = :tenant and d.endpoint = :endpoint and d.notification = placed.notification
        and placed.behind > now()
), ours as materialized (
    select d.notification from notification_deliveries d
    where d.tenant_id = :tenant and d.endpoint = :endpoint
        and d.state in ('pending', 'sending') and d.due_at <= now()
        and d.notification in (select notification from placed where behind is null)
    order by d.position limit :limit for update skip locked
), claimed as (
    update notification_deliveries d
    set state = 'sending', attempts = attempts + 1, due_at = now() + interval '{LEASE} seconds'
    from ours where d.tenant_id = :tenant and d.endpoint = :endpoint and d.notification = ours.notification
    returning d.notification, d.subject, d.position, d.attempts
)
select n.id, n.public_id, n.type, n.payload, claimed.subject, claimed.attempts
from claimed join notifications n on n.tenant_id = :tenant and n.id = claimed.notification order by claimed.position
""")  # noqa: S608 - only our own numbers are put in
)
_SETTLE = Statement(
    text("""
update notification_deliveries
set state = :state, due_at = now() + cast(:pause as interval),
    finished_at = case when cast(:state as text) = 'pending' then null else now() end
where tenant_id = :tenant and endpoint = :endpoint and notification = :notification
    and state = 'sending' and attempts = :attempts
""")
)
# The next of the subject may go now; it was put off behind this one.
_RELEASE = Statement(
    text("""
update notification_deliveries set due_at = now()
where tenant_id = :tenant and endpoint = :endpoint and notification = (
    select notification from notification_deliveries
    where tenant_id = :tenant and endpoint = :endpoint and subject = :subject and state = 'pending'
    order by position limit 1
) and due_at > now() and state = 'pending'
""")
)
_RELEASE_ALL = Statement(
    text("""
update notification_deliveries set due_at = now()
where tenant_id = :tenant and endpoint = :endpoint and state = 'pending' and due_at > now()
""")
)
_LOG = Statement(
    text(f"""
insert into notification_attempts (tenant_id, endpoint, notification, at, milliseconds, status, error, excerpt)
select :tenant, :endpoint, n.id, :at, :milliseconds, :status, left(cast(:error as text), {EXCERPT}),
    left(cast(:excerpt as text), {EXCERPT})
from notifications n where n.tenant_id = :tenant and n.id = :notification
""")  # noqa: S608
)
_NEXT = Statement(
    text("""
select min(due_at) as due_at from notification_deliveries
where tenant_id = :tenant and endpoint = :endpoint and state in ('pending', 'sending')
""")
)


async def claim(tenant: TenantConnection, endpoint: int, limit: int) -> list[Claimed]:
    """At most *limit* deliveries to the endpoint that are due, each the first of its subject."""
    return [Claimed(*row) for row in await tenant.fetch(_CLAIM, endpoint=endpoint, limit=limit)]


async def settle(
    tenant: TenantConnection, endpoint: int, claimed: Claimed, attempt: Attempt, pause: float | None
) -> None:
    """Note what came of a claimed delivery. It is tried again after *pause* seconds; None: it is done, or given up.

    One that was claimed anew meanwhile, or removed, is left as it is.
    """
    state = "delivered" if attempt.error is None else "failed" if pause is None else "pending"
    key = {"endpoint": endpoint, "notification": claimed.id}
    settled = await tenant.execute(
        _SETTLE, **key, state=state, attempts=claimed.attempts, pause=timedelta(seconds=pause or 0)
    )
    tried = msgspec.structs.asdict(attempt)
    del tried["retry_after"]
    await tenant.execute(_LOG, **key, **tried)
    if settled and state != "pending":
        await tenant.execute(_RELEASE, endpoint=endpoint, subject=claimed.subject)


async def release(tenant: TenantConnection, endpoint: int) -> None:
    """Let all that waits for a later try be due now: the endpoint answers again."""
    await tenant.execute(_RELEASE_ALL, endpoint=endpoint)


async def next_due(tenant: TenantConnection, endpoint: int) -> datetime | None:
    """When to look at the endpoint again; None: nothing waits."""
    row = await tenant.fetch_one(_NEXT, endpoint=endpoint)
    return row["due_at"] if row else None


_FORGET = Statement(text("delete from notification_deliveries where tenant_id = :tenant and endpoint = :endpoint"))
_FORGET_LOG = Statement(text("delete from notification_attempts where tenant_id = :tenant and endpoint = :endpoint"))


async def forget(tenant: TenantConnection, endpoint: int) -> None:
    """Remove all deliveries to the endpoint, and their log."""
    await tenant.execute(_FORGET_LOG, endpoint=endpoint)
    await tenant.execute(_FORGET, endpoint=endpoint)


_REPLAY = Statement(
    text("""
insert into notification_deliveries as d (tenant_id, endpoint, notification, subject, position)
select :tenant, :endpoint, n.id, n.subject, n.position from notifications n
where n.tenant_id = :tenant and n.position is not null and coalesce(n.endpoint = :endpoint, true)
    and (cast(:ids as text[]) is null or n.public_id = any (cast(:ids as text[])))
    and (cast(:types as text[]) is null or n.type = any (cast(:types as text[])))
    and (cast(:since as timestamptz) is null or n.created_at >= cast(:since as timestamptz))
    and (cast(:until as timestamptz) is null or n.created_at < cast(:until as timestamptz))
    and (not cast(:failed as boolean) or exists (
        select from notification_deliveries gone where gone.tenant_id = :tenant and gone.endpoint = :endpoint
            and gone.notification = n.id and gone.state = 'failed'
    ))
on conflict (tenant_id, endpoint, notification) do update
set state = 'pending', attempts = 0, due_at = now(), finished_at = null where d.state <> 'sending'
""")
)


class Selection(msgspec.Struct, frozen=True):
    """Which notifications; a field that is None selects all. *since* is included, *until* is not.

    *failed*: only those that were given up.
    """

    ids: Sequence[str] | None = None
    types: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    failed: bool = False


async def replay(tenant: TenantConnection, endpoint: int, selection: Selection) -> int:
    """Deliver what is selected once more, in its order; how many notifications that are."""
    return await tenant.execute(_REPLAY, endpoint=endpoint, **msgspec.structs.asdict(selection))

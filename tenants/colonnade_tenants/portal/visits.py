"""The rows of visits. Each is made before anybody has its session's URL."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import ARRAY, Interval, Text, any_, bindparam, delete, func, null, or_, select, text, update

from colonnade_tenants.partition import TENANT, Statement, TenantConnection, as_json, bytea, tenant_connection
from colonnade_tenants.portal.changes import Change
from colonnade_tenants.portal.state import State, decode
from colonnade_tenants.portal.tables import portal_visits


class TooMany(Exception):
    """The customer had enough visits for now."""


class Made(msgspec.Struct, frozen=True):
    """Stripe has made the *session* (`bps_…`) of the visit with this *id*. *left_out*: as in `Visit`."""

    id: str
    customer_id: int
    session: str
    left_out: str | None


class Outcome(msgspec.Struct, frozen=True):
    """`unknown`: neither its events nor Stripe's answer came in time; *changes* are then those known of."""

    result: str
    changes: list[Change] = []


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One portal session, and what came of it; the columns are described with the table."""

    id: str
    customer_id: int
    configuration: str
    chosen_by: str
    rule: dict[str, Any] | None = None
    flow: str | None = None
    subscription: str | None = None
    left_out: str | None = None
    locale: str | None = None
    opened_by: str
    origin: str | None = None
    token: str | None = None
    browser: bytes | None = None
    fingerprint: bytes
    session: str | None = None
    return_url: str
    done_url: str | None = None
    before: State | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    returned_at: datetime | None = None
    reread_at: datetime | None = None
    reread_events: list[str] | None = None
    settled_at: datetime | None = None
    outcome: Outcome | None = None


_table = portal_visits.c
_NAMES = Visit.__struct_fields__
_COLUMNS = [_table[name] for name in _NAMES]
_OWN = _table.tenant_id == TENANT
_MINE = (_OWN, _table.id == bindparam("id"))
# What an earlier return found out is not said of a later one.
_THIS = (*_MINE, _table.returned_at == bindparam("returned", type_=_table.returned_at.type))
_WHILE = bindparam("again", type_=Interval)
_GIVEN = (*_NAMES[: _NAMES.index("session")], "return_url", "done_url")
_CLOCK = func.clock_timestamp()

AGAIN = timedelta(seconds=5)
"""A look at a link so long after its visit was settled is another return: the customer went back to the portal."""
WAITING = timedelta(seconds=30)
"""The longest that a return waits to be settled, if its customer waits too."""

_FAR = datetime(9999, 1, 1, tzinfo=UTC)

# Each is a transaction of its own: the tenant is set by the function, as for checks.
_ADD = "select added from add_portal_visit($1, $2, $3)"
_NOTE = "select note_portal_sessions($1, $2)"
_GET = Statement(select(*_COLUMNS).where(*_MINE))
_OF_TOKEN = Statement(select(*_COLUMNS).where(_OWN, _table.token == bindparam("token")))
_PAGE = Statement(
    select(*_COLUMNS)
    .where(_OWN, _table.customer_id == bindparam("customer"))
    .where(_table.created_at < bindparam("after", type_=_table.created_at.type))
    .order_by(_table.created_at.desc())
    .limit(bindparam("limit"))
)
_LOOK = Statement(select(*_COLUMNS, _CLOCK.label("now")).where(*_MINE))
_RETURNED = Statement(
    update(portal_visits)
    .where(*_MINE)
    .values(returned_at=func.coalesce(_table.returned_at, _CLOCK))
    .returning(*_COLUMNS, _CLOCK.label("now"))
)
_AGAIN = Statement(
    update(portal_visits)
    .where(*_MINE)
    .where(
        func.coalesce(_table.settled_at, _table.returned_at + bindparam("waiting", type_=Interval)) < _CLOCK - _WHILE
    )
    .values(dict.fromkeys(("returned_at", "reread_at", "reread_events", "settled_at", "outcome"), null()))
)
_COMPLETED = Statement(
    update(portal_visits).where(*_MINE).values(completed_at=func.coalesce(_table.completed_at, _CLOCK))
)
_REREAD = Statement(
    update(portal_visits)
    .where(*_MINE, _table.settled_at.is_(None), _table.reread_events.is_(None))
    .where(or_(_table.reread_at.is_(None), _table.reread_at < _CLOCK - text("interval '5 seconds'")))
    .values(reread_at=_CLOCK)
)
_STORED = Statement(update(portal_visits).where(*_THIS).values(reread_events=bindparam("events", type_=ARRAY(Text))))
_SETTLED = Statement(
    update(portal_visits)
    .where(*_THIS, _table.settled_at.is_(None))
    .values(settled_at=_CLOCK, outcome=bindparam("outcome", type_=_table.outcome.type))
)


# Two workers share the work: neither waits for rows of the other.
_OLD = (
    select(_table.id)
    .where(_OWN, _table.created_at < _CLOCK - bindparam("age", type_=Interval))
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_FORGET = Statement(delete(portal_visits).where(_OWN, _table.id == any_(func.array(_OLD.scalar_subquery()))))


async def add(pool: asyncpg.Pool, tenant_id: int, visit: Visit, *, most: int) -> bool:
    """Keep a new visit, with what is known of the customer: call before anybody has a URL.

    Whether it was added: not where it is there already under its id or token, nor after *most* in a minute.
    """
    given = {name: getattr(visit, name) for name in _GIVEN}
    given |= {"browser": bytea(visit.browser), "fingerprint": bytea(visit.fingerprint)}
    return bool(await pool.fetchval(_ADD, tenant_id, as_json(given), most))


async def known(pool: asyncpg.Pool, tenant_id: int, visit: Visit) -> Visit:
    """The visit that is there already in place of *visit*, which was not added. Raises `TooMany`."""
    async with tenant_connection(pool, tenant_id) as tenant:
        found = await get(tenant, visit.id)
        if found is None and visit.token is not None:
            found = await of_token(tenant, visit.token)
    if found is None:
        raise TooMany("This customer opened the portal too often in the last minute.")
    return found


async def get(tenant: TenantConnection, visit_id: str) -> Visit | None:
    """The visit with this id."""
    return _visit(await tenant.fetch_one(_GET, id=visit_id))


async def of_token(tenant: TenantConnection, token: str) -> Visit | None:
    """The visit that the portal token opened."""
    return _visit(await tenant.fetch_one(_OF_TOKEN, token=token))


async def page(tenant: TenantConnection, customer: int, before: datetime | None, limit: int) -> list[Visit]:
    """The customer's visits, newest first, of those that were opened *before*. Ids of repeated requests do not sort."""
    rows = await tenant.fetch(_PAGE, customer=customer, after=before or _FAR, limit=limit)
    return [visit for row in rows if (visit := _visit(row))]


async def note(pool: asyncpg.Pool, tenant_id: int, made: Sequence[Made]) -> None:
    """Keep the sessions' ids. Again, it changes nothing."""
    # In one order, so that no two writers wait for each other.
    await pool.execute(_NOTE, tenant_id, as_json(sorted(made, key=lambda each: each.id)))


async def completed(tenant: TenantConnection, visit_id: str) -> None:
    """The flow is done: its own redirect came back."""
    await tenant.execute(_COMPLETED, id=visit_id)


async def again(tenant: TenantConnection, visit_id: str) -> None:
    """The customer's browser is here: where an earlier return is over, what is known of that is forgotten."""
    await tenant.execute(_AGAIN, id=visit_id, again=AGAIN, waiting=WAITING)


async def returned(tenant: TenantConnection, visit_id: str) -> tuple[Visit, float] | None:
    """The visit, and seconds since its customer came back, which is now if it did not before."""
    row = await tenant.fetch_one(_LOOK, id=visit_id)
    if row is not None and row["returned_at"] is None:  # written once: this is asked ten times a second
        row = await tenant.fetch_one(_RETURNED, id=visit_id)
    visit = _visit(row)
    if visit is None or row is None:
        return None
    return visit, (row["now"] - row["returned_at"]).total_seconds()


async def claim_reread(tenant: TenantConnection, visit_id: str) -> bool:
    """Whether Stripe is to be asked by the caller; by one at a time, until its answer is stored."""
    return await tenant.execute(_REREAD, id=visit_id) == 1


async def reread(tenant: TenantConnection, visit: Visit, events: Sequence[str]) -> None:
    """Stripe's answer is in the inbox as these *events*."""
    await tenant.execute(_STORED, id=visit.id, returned=visit.returned_at, events=list(events))


async def settle(tenant: TenantConnection, visit: Visit, outcome: Outcome) -> None:
    """What came of the visit, as of the return that *visit* has; the first to say so is right."""
    await tenant.execute(
        _SETTLED, id=visit.id, returned=visit.returned_at, outcome=msgspec.json.encode(outcome).decode()
    )


async def forget(tenant: TenantConnection, age: timedelta, limit: int) -> int:
    """Delete at most *limit* visits that are older than *age*; how many were."""
    return await tenant.execute(_FORGET, age=age, limit=limit)


def _visit(row: asyncpg.Record | None) -> Visit | None:
    if row is None:
        return None
    fields = {name: row[name] for name in _NAMES}
    fields["before"] = fields["before"] and decode(fields["before"])
    fields["rule"] = fields["rule"] and msgspec.json.decode(fields["rule"])
    fields["outcome"] = fields["outcome"] and msgspec.json.decode(fields["outcome"], type=Outcome)
    return Visit(**fields)
